"""The task of a run: what the policy is asked to write, and what earns a reward. No torch.

Each task is a section named by ``kind``; its preparation stands in ``rlpost.prepare.TASKS``.
"""

from __future__ import annotations

from typing import Annotated, Literal

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


class PgRankTask(Section):
    kind: Literal["pg_rank"]
    """A bi-encoder orders the candidates of a query (Neural PG-RANK, arXiv 2310.04407); the engine
    is ``encoder``, and ``rollout.max_new_tokens`` is how many ranks are drawn."""
    candidates: int = Field(default=20, ge=2, le=1000)
    """First-stage candidates of a query."""
    passage_tokens: int = Field(default=48, ge=4)
    """A longer passage is cut; the model's special tokens count."""
    query_tokens: int = Field(default=32, ge=4)
    """A longer query is cut."""
    measure_depth: int = Field(default=10, ge=1)
    """The reward is nDCG at this depth of the ranking drawn."""
    score_scale: float = Field(default=20.0, gt=0)
    """A candidate's score is this times its cosine with the query: the larger, the surer the
    policy."""


class RecommendTask(Section):
    kind: Literal["recommend"]
    """The policy writes titles for a user's history; ``data.path`` is a MovieLens folder."""
    catalogue: int = Field(default=100, ge=2)
    """So many titles that the training users liked most; only these are shown, wanted and right."""
    list_length: int = Field(default=5, ge=1)
    """Titles asked for."""
    history: int = Field(default=10, ge=1)
    """Liked titles in a prompt, the latest before the cut."""
    min_rating: float = Field(default=4.0, ge=0)
    """A rating of at least this is a like."""
    held_out_users: float = Field(default=0.4, gt=0, lt=1)
    """Share of the users who are measured on and never trained on, chosen by the seed."""
    segments: Literal["paper", "released"] = "paper"
    """Which tokens wrote which rank: as the titles were read, or by counting newlines as the
    released code of Rank-GRPO does."""


Task = Annotated[RerankTask | PgRankTask | RecommendTask, Field(discriminator="kind")]
