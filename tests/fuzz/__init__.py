"""Bytes that nobody meant, and what they are turned into: messages, memory, the order of events."""
