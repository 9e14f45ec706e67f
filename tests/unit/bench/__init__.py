"""Unit tests of mmc.cli."""
