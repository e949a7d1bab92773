"""Pod garbage collection: Pods that nobody else would ever take away."""
