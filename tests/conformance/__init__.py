"""One suite for each interface, run on the fake and on the real thing."""
