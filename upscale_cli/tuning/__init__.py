"""What a machine can do with what a user has: a table of its models, and commands for one photo or clip."""
