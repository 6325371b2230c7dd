"""Advice: what fails, what to change in the configuration, and what people make of it."""
