"""The page for people: files that a browser gets, and queries of a collection to try."""
