"""Ranking losses and the Plackett-Luce policy."""
