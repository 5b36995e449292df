"""The nets, one file each, and the registry of their checkpoints, one row each."""
