"""The stage `prepare`: raw data to one row per stay and one array per modality."""
