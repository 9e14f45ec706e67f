"""Tests of the crash run's own parts."""
