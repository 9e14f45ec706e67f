"""What is measured, each behind the same calls: this cache, the floors, and the peers."""
