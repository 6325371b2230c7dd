"""A fleet that behaves like vLLM: engine, servers, outcome models, question generator."""
