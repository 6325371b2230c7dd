"""Learning from production: what is learned from traces while they come in, and what may be served of it."""
