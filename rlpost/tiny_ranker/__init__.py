"""How the shipped model tiny-ranker is made."""
