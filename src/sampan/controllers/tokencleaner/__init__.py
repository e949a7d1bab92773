"""Bootstrap tokens that have expired go."""
