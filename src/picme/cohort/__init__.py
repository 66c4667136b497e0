"""Cohorts: the stays of a study, what is used of their data, and the split of each."""
