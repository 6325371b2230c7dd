"""What lets a new policy serve: step by step, with proof, and back at the first sign of harm."""
