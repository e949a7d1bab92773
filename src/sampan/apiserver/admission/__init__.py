"""Admission: a table of plugins that may change an object, refuse it, or take notice of it."""
