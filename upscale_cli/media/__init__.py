"""The two ends of the pipeline: what is read, and what is written."""
