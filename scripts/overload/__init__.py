"""Puts under pressure: how long they take in a full pool, and in one with room."""
