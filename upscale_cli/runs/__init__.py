"""Many sources as one run: which they are, what is done already, and what becomes of each."""
