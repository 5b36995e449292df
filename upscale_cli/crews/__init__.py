"""Who does the jobs of a run: threads of this process, or the workers of a cluster."""
