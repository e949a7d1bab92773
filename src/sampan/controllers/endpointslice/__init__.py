"""EndpointSlices: which Pods stand behind a Service, in pieces of at most a hundred."""
