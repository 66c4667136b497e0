"""Fitting: the course of a training, its two loops, the search of its settings, and the log of its epochs."""
