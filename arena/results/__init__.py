"""What an evaluation leaves: episodes, runs, and every figure that comes from them."""
