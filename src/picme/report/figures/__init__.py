"""Figures of the report, by topic: each function turns result tables into a plate, or None where it has no data."""
