"""Documentation pages and their generator."""
