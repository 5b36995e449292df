"""Nets as files that other programs run."""
