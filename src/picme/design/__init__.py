"""The design of a study: the graph of its steps, made from the configuration. No module here imports torch."""
