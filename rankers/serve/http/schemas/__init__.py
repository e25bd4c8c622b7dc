"""Requests and answers of each API, as pydantic models."""
