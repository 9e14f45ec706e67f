"""Services as processes or threads: the meta service, a local service, and everything in one process."""
