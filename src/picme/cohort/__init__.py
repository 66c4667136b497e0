"""From schema tables to one row per stay: which stays, which of their data, which split."""
