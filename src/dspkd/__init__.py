"""Distil a large skin-disease image classifier into one small enough for a phone, and prove what it kept."""

__version__ = "0.1.0"
