"""Teachers: a frozen network, an ensemble, or cached outputs of either."""
