"""Recorded answers of real models as an environment."""
