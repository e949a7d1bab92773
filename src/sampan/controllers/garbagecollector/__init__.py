"""The garbage collector: what is owned by nothing any more goes."""
