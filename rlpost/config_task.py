"""The task of a run: what the policy is asked to write, and what earns a reward. No torch.

Each task is a section named by ``kind``; its preparation stands in ``rlpost.prepare.TASKS``.
"""

from __future__ import annotations

from typing import Literal

from pydantic import Field

from rlpost.config_section import Section


class RerankTask(Section):
    kind: Literal["rerank"] = "rerank"
    """The policy orders the candidates of a query."""
    candidates: int = Field(default=5, ge=2, le=100)
    """First-stage candidates in one prompt, shuffled by the seed."""
    template: Literal["compact", "rank_zephyr", "rankgpt"] = "compact"
    """Wording of the prompt; ``compact`` suits small models, the others general ones."""
    passage_tokens: int = Field(default=32, ge=4)
    """A longer passage is cut, never the template."""
    query_tokens: int = Field(default=32, ge=4)
    """A longer query is cut."""
    measure_depth: int = Field(default=10, ge=1)
    """The reward is nDCG at this depth of the produced order."""
    format_weight: float = Field(default=0.1, ge=0, le=1)
    """Reward = (1 - w) * nDCG + w * (the answer is one complete, well-formed ranking)."""


Task = RerankTask
"""With a second kind: ``Annotated[RerankTask | Other, Field(discriminator="kind")]``."""
