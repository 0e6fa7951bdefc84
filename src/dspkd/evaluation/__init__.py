"""What a network predicted, and what that is worth. Only `predict` needs torch."""
