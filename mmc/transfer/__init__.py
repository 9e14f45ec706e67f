"""Moving bytes between the buffers of callers and segments."""
