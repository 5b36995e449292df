"""Many sources as one run: what there is, what is done, what comes."""
