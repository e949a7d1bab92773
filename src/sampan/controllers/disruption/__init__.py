"""Pod disruption budgets: how many Pods may be evicted now."""
