"""The scripts, by example."""
