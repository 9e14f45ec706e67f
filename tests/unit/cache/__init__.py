"""The tables of the meta service and of a rank."""
