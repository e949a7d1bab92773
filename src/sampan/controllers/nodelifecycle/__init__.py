"""The life of nodes: those that fall silent are marked, and their Pods moved away."""
