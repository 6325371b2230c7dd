"""What could be changed: rules that would help, what recorded runs say of each, and which are worth a person's time."""
