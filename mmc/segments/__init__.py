"""Shared memory that describes itself: layout, records, index, pins, and the files they lie in."""
