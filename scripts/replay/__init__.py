"""Replays a trace of LLM requests on a cluster of this host; ``scripts/quickstart`` starts it."""
