"""A verifying load whose services and clients are killed, stopped and started again."""
