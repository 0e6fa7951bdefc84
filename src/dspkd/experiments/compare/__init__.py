"""Compare methods on equal terms, over several seeds."""
