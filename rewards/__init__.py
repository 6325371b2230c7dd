"""How good it was: answers found, compared and graded. Pure: no I/O beyond the algebra worker, no torch."""
