"""Processes, seeds, files, memory, progress and rounding: code that knows nothing of images."""
