"""Files: text, JSON lines, TREC formats, atomic writing, the cache."""
