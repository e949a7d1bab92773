"""Keys, bytes and revisions: one contract, a SQLite store and an in-memory one. Knows no Kubernetes."""
