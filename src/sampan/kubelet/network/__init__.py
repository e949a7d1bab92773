"""The node's network namespace, its uplink, and the routed veth of every Pod."""
