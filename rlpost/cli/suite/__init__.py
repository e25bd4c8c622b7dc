"""`rlpost evaluate suite.yaml`: every system on every collection, resumable, one table."""
