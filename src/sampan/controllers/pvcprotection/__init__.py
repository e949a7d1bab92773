"""Claims stay as long as a Pod uses them."""
