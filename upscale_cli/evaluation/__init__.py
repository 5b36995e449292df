"""What models are worth: the run, and the figures."""
