"""Prompts: templates, sanitizing, token budgets, parsing, model families."""
