"""What becomes of routing when the world changes while it serves: worlds, seasons in them, and who is judged there."""
