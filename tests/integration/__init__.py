"""Real processes over real sockets and real segments."""
