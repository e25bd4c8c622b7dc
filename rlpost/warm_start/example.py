"""What a warm start learns from; loads no torch, so that it can be made in any process."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class SftExample:
    """A rendered prompt, generation prompt included, and the answer to imitate."""

    prompt_ids: tuple[int, ...]
    answer: str
