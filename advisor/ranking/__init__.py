"""Who is shown what first: features of an option, and the choosers that learn from what people make of it."""
