"""Metrics: plain functions of arrays. Training stops by them; alignment and evaluation report them."""
