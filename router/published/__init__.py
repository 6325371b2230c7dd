"""The reference design as it was published, from its description: a rival to train in the same arena.

A load-blind planner learns by REINFORCE, an executor with one joint head by PPO, and one multiplier on the mean share
of the budget prices latency for both (Kabir et al. 2026, arXiv 2606.11440, in the state of the released results). Its
known weaknesses are kept.

Where the description leaves a choice, or our graphs do not allow the same:

* The released planner starts from a trained MasRouter; ours starts from random weights, so that both rivals learn
  from the same runs. Its team size has no gradient there either, and stays where its weights start: near three.
* Topologies and roles are embedded by our encoder, a topology from its description. A seat's role sees question,
  topology and the mean of the roles taken. Latent vectors have 64 dimensions.
* The released judge is the team's most frequent model without a strategy. A policy does not see the team's models, so
  the executor chooses for the judge as for any other step, and learns from it, which can only help it.
* Runs end at their deadline, so that L/B hardly exceeds 1 and the multiplier falls.
* Learning rates stay constant; the released training halves them on a plateau of many more runs.
"""
