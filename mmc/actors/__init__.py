"""The actors: state machines that take messages and time and return effects.  Pure."""
