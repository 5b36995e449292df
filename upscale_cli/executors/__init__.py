"""What runs the jobs of a run, and how many at a time."""
