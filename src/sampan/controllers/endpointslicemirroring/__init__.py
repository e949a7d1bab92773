"""Endpoints written by hand, shown as EndpointSlices to those who read only these."""
