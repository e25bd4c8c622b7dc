"""Collections: loaded by folder or name, parsed, exported."""
