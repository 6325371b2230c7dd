"""Published runs, replayed on the calibrated fleet."""
