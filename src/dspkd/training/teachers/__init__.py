"""Teachers: whatever answers a batch as the large network does."""
