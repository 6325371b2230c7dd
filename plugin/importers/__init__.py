"""Feedback that people already give elsewhere, brought to the traces that it is about."""
