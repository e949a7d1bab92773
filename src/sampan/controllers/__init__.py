"""A package for each controller: informers feed a queue of keys; `reconcile` observes, plans and applies."""
