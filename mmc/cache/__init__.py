"""The tables: what the meta service knows of names, and a rank of its space.  Pure."""
