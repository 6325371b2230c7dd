"""Many candidate configurations at once, on recorded or simulated traffic: what each would do beside what there is."""
