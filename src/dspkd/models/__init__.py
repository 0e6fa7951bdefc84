"""Networks that take pixels in [0, 1] and answer with logits, the pooled vector, and maps at named taps."""
