"""The state machines that exchange messages."""
