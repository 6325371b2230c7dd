"""Where policies are put to work and judged: workloads, the open-loop runner, and what came of them."""
