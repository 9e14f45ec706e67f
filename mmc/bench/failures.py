"""What ends a measurement before its time."""


class BenchError(Exception):
    """A measurement cannot go on; the sentence says why."""
