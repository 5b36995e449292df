"""The workers of a Ray cluster. The only place that imports ray."""
