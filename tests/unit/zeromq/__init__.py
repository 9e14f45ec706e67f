"""Sockets without anybody at their other ends."""
