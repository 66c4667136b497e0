"""The engine: typed steps, the graph they form, the store of their artifacts, and the executors that run them.

Nothing here knows what a step is about.
"""
