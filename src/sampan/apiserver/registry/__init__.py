"""Per-kind behaviour, one module per noun; kinds that need none have none."""
