"""The learned heads as they serve: `Head` over `FeatureBuilder`, every input multiplied no oftener than it changes.

What never changes about candidates (names, sizes, costs) and what changes with the question alone (difficulty, prior
odds) is kept as the sum that it sends to the hidden units. What changes with every decision (time, load, where the
workflow stands) is multiplied alone, and by model or by depth where candidates share it. Prior odds and slack, which
stand beside the network's outputs, reach them through hidden units of their own, so that one product gives all.

Up to rounding this is the general form, from which training reads its features; it takes a third of the time.

A = executor actions, M = models, P = plans, L = distinct depths of plans, R = roles, H = hidden units.
"""
