"""Prompts and policies that the tests of both engines sample from."""

from __future__ import annotations

from pathlib import Path

import pytest

from rlpost.models.loading import load_tokenizer, render
from rlpost.rollout.engines.parity import random_policy
from rlpost.types import Message, PolicyRef, Prompt

QUESTIONS = (
    "Query: sort a list [1] [2]\nRanking:",
    "fox",
    "The policy reads another document. [3]",
)


@pytest.fixture(scope="session")
def prompts(tiny_model: Path) -> list[Prompt]:
    tokenizer = load_tokenizer(tiny_model)
    conversations = [(Message(role="user", content=question),) for question in QUESTIONS]
    return [
        Prompt(id=f"q{i}", messages=messages, token_ids=render(tokenizer, messages))
        for i, messages in enumerate(conversations)
    ]


@pytest.fixture(scope="session")
def policies(tiny_model: Path, tmp_path_factory: pytest.TempPathFactory) -> list[PolicyRef]:
    """Versions 1 and 2, visibly different from the base and from each other."""
    root = tmp_path_factory.mktemp("policies")
    return [random_policy(tiny_model, root, version=version) for version in (1, 2)]
