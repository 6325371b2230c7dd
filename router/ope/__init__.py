"""What another policy would have achieved, from the traces of those that served: off-policy evaluation."""
