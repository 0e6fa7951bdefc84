"""The recipe language, and the recipes that come with the package (`library/`). Imports no torch."""
