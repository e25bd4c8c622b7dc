"""What a run records: run directory, metrics, events, trace, summary, display."""
