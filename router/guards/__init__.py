"""What keeps learning honest: whose word counts, how much of it, what has drifted, what exploring may cost."""
