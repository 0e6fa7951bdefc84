"""Draw synthetic skin lesions, to try things without a data set."""
