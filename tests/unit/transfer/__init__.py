"""The wire: messages, windows, topics."""
