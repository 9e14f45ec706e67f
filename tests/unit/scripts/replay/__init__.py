"""The modules of the replay, by example."""
