"""Find copies, leaks and damaged files in a data set."""
