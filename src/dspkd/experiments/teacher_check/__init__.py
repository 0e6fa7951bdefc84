"""Examine a teacher: whether its student can learn from it, and which settings follow."""
