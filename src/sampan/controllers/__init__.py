"""One package for each controller: informers feed a queue of keys, `reconcile(key)` observes, plans, applies."""
