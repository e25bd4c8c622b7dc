"""The command line of rlpost."""
