"""What knows nothing of images: processes, seeds, files, memory and progress."""
