"""Shared memory, and the files that it lies in."""
