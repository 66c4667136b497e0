"""The design of a study: its combinations, its strategies and the graph of its steps. No module here imports torch."""
