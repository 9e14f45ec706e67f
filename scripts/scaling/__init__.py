"""What each rank, client and event costs a meta service and its broker."""
