"""The result tables of a run: their declarations, and how they are written."""
