"""Numbers about the node, its Pods and their containers: sampled when asked for, in upstream's forms."""
