"""Raw files to tables."""
