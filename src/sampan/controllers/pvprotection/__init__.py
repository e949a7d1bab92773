"""Persistent volumes stay as long as a claim is bound to them."""
