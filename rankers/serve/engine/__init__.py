"""The engine process of a server, and its supervisor."""
