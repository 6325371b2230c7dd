"""Who takes part in an evaluation, and what they learn from."""
