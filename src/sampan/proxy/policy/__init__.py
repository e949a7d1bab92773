"""NetworkPolicy in the kernel: who somebody is, what may pass between two of them, and what was dropped."""
