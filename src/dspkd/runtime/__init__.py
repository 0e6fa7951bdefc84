"""Processes, seeds, files, memory and progress: code that knows nothing of images."""
