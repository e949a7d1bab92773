"""The scheduler: filters and scores are pure, one loop binds."""
