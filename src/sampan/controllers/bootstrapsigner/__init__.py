"""Signs cluster-info with the tokens there are, so that who knows one can trust it."""
