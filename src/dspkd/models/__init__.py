"""Networks that take pixels in [0, 1] and return logits, the pooled vector, and maps at named taps."""
