"""Endpoints, the older form of EndpointSlices: all of a Service's addresses in one object."""
