"""Addresses from outside for Services of type LoadBalancer, out of a pool that leads to the nodes."""
