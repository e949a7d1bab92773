"""Services in the kernel: rules as a table of plain values, and one transaction for each change of it."""
