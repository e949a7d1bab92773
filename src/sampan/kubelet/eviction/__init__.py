"""Node-pressure eviction: what the node does when memory, disk or process ids run short."""
