"""One model call in somebody's application: what it asks, where it is made, which run it belongs to, who takes it."""
