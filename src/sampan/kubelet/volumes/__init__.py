"""Volumes: one maker for each kind, put together for a Pod, and taken away without following a link."""
