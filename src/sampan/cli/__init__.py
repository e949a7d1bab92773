"""The command line: one module per verb. The only part that knows all the others, and puts them together."""
