"""Predict millions of images: in bounded memory, resumable, here or on a Ray cluster."""
