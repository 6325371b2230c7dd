"""Outcomes that nobody has to report: graders that judge runs, and signals in what users do next."""
