"""Supervised distillation of a teacher's rankings into a ranker: FIRST, full ranking, E2Rank."""
