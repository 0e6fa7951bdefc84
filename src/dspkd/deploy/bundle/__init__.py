"""Read, verify and use a bundle: one file that needs no torch."""
