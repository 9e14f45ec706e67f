"""Whole clusters of actors under a simulated clock, network and memory."""
