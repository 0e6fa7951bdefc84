"""Many runs: comparisons, checks of a teacher, the demo, and the tables of the paper."""
