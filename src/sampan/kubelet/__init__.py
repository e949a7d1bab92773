"""One node's Pods: life cycle, probes, volumes, images, the runtime and the network beneath."""
