"""Services as processes: how they are started."""
