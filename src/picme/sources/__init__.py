"""Readers of raw data: the MIMIC releases, the PhysioNet 2012 challenge, and the user's own tables."""
