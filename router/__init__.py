"""Who decides: action space, features, masks, policies, latency prediction, and the decisions themselves."""
