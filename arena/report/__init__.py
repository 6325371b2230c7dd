"""An evaluation as something to look at."""
