"""Other people's graphs: which run a call belongs to, what we would have chosen there, and choosing it."""
