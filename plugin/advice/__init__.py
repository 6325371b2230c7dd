"""Advice in an application: the desk where it is made, the file into which it goes, and what became of it."""
