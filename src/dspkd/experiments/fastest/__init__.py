"""Measure which settings train a network fastest on this machine."""
