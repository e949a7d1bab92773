"""Claims that ask for more get it, where more costs nothing."""
