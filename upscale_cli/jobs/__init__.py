"""One source, one output: what is to be done, and doing it."""
