"""The base of every section of a config."""

from __future__ import annotations

from rankers.section import Section

__all__ = ["Section"]
