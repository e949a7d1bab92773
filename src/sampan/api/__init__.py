"""What objects are: resources, schemas, defaults, validation, selectors, patches, errors.

Pure functions on JSON dicts. Imports nothing else of sampan, does no I/O beyond reading its own data files.
"""
