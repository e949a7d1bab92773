"""The API server: HTTP in, store out. One path for every kind; what differs by kind stands in small hooks."""
