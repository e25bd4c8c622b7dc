"""The task of a run: what the policy is asked to write, and what earns a reward. No torch.

Each task is a section named by ``kind``; its preparation stands in ``rlpost.tasks.by_name.TASKS``.
The ``reward_parts`` of a task are the parts of its reward, which credit can weigh.
"""

from __future__ import annotations

import difflib
from functools import partial
from typing import Annotated, ClassVar, Literal

from pydantic import AfterValidator, Field, field_validator, model_validator

from rankers.config_file import Section
from rankers.methods.by_name import METHODS
from rankers.secrets import plain_url


class RerankerReward(Section):
    """Either ``url``, or ``method`` with ``model``."""

    kind: Literal["reranker"] = "reranker"
    """A reranker judges what the policy writes."""
    url: Annotated[str, AfterValidator(partial(plain_url, variable="RLPOST_API_KEY"))] | None = None
    """Where `rlpost serve`, or another service with /v1/rerank, runs it; key: RLPOST_API_KEY."""
    method: str | None = None
    """Of `rlpost rerank`, to run it in each rollout worker instead."""
    model: str | None = None
    """Its model: at the url, one that is served there, by default its first."""
    backend: Literal["vllm", "hf", "sentence-transformers"] | None = None
    """Default: the fastest on this machine that can do it."""
    timeout_s: float = Field(default=120.0, gt=0)
    """For one attempt of a request to the url."""

    @field_validator("method")
    @classmethod
    def _is_a_method(cls, method: str | None) -> str | None:
        if method is None or method in METHODS:
            return method
        near = difflib.get_close_matches(method, METHODS, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"use one of {', '.join(METHODS)}"
        raise ValueError(f"task.reward.method {method!r} is no method of `rlpost rerank`; {hint}")

    @model_validator(mode="after")
    def _one_place(self) -> RerankerReward:
        if self.url is not None and self.method is not None:
            raise ValueError(
                f"task.reward: url {self.url!r} and method {self.method!r} are both given: a "
                "served reranker has its method already, so drop one"
            )
        if self.url is None and (self.method is None or self.model is None):
            raise ValueError(
                "task.reward: there is no reranker: give url, or method and model together"
            )
        return self


class RerankTask(Section):
    reward_parts: ClassVar[tuple[str, ...]] = ("ndcg", "format")
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
    reward: RerankerReward | None = None
    """A reranker whose order is the ideal one; default: the judgements of the collection."""


class ChoosingTask(Section):
    """A task whose answer is one of the passages shown, after reasoning."""

    candidates: int = Field(default=5, ge=2, le=20)
    """Passages in one prompt: the first stage's best relevant one and irrelevant ones; and
    first-stage candidates that are reranked, by as many questions as the method takes, to
    measure."""
    passage_tokens: int = Field(default=32, ge=4)
    """A longer passage is cut, never the template."""
    query_tokens: int = Field(default=32, ge=4)
    """A longer query is cut."""


class RankR1Task(ChoosingTask):
    reward_parts: ClassVar[tuple[str, ...]] = ()
    kind: Literal["rank_r1"]
    """The policy reasons, then names the most relevant passage (Rank-R1, arXiv 2503.06034); the
    reward is 1 for its label in the right format, else 0."""
    version: Literal["0.1", "0.2"] = "0.1"
    """Which release words the prompt."""


class IRankerTask(ChoosingTask):
    reward_parts: ClassVar[tuple[str, ...]] = ("exclusion", "format", "tags")
    kind: Literal["iranker"]
    """The policy reasons, then names the passage to eliminate (IRanker, arXiv 2506.21638); a prompt
    shows two to all of the candidates."""
    variant: Literal["paper", "released"] = "paper"
    """Format terms of the reward: the tags, each once and in order; or what the released trainer
    gave, which counts the tags of its prompt as well and wants white space inside each."""


class PgRankTask(Section):
    reward_parts: ClassVar[tuple[str, ...]] = ("ndcg", "format")
    kind: Literal["pg_rank"]
    """A bi-encoder orders the candidates of a query (Neural PG-RANK, arXiv 2310.04407); the engine
    is ``encoder``, and ``rollout.max_new_tokens`` is how many ranks are drawn."""
    candidates: int = Field(default=20, ge=2, le=1000)
    """First-stage candidates of a query."""
    passage_tokens: int = Field(default=48, ge=4)
    """A longer passage is cut; the model's special tokens count."""
    query_tokens: int = Field(default=32, ge=4)
    """A longer query is cut."""
    query_prompt: str | None = None
    """Stands before a query, beside its tokens; null for the model's own prompt."""
    passage_prompt: str | None = None
    """Stands before a passage, likewise."""
    measure_depth: int = Field(default=10, ge=1)
    """The reward is nDCG at this depth of the ranking drawn."""
    score_scale: float = Field(default=20.0, gt=0)
    """A candidate's score is this times its cosine with the query: the larger, the surer the
    policy."""


class RecommendTask(Section):
    reward_parts: ClassVar[tuple[str, ...]] = (
        "ndcg",
        "recall",
        "tidy",
        "unknown",
        "repeated",
        "seen",
    )
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
    teacher_temperature: float = Field(default=0.0, ge=0)
    """At 0 a warm start imitates the best lists of item co-occurrence; above, lists drawn around
    them, which leaves RL more to choose from."""
    invalid_penalty: float = Field(default=0.0, ge=0)
    """What a place loses that is empty or filled with a title outside the catalogue, of the
    history, or listed before; 0 in the paper."""
    segments: Literal["paper", "released"] = "paper"
    """Which tokens wrote which rank: as the titles were read, or by counting newlines as the
    released code of Rank-GRPO does."""


class RewriteTask(Section):
    reward_parts: ClassVar[tuple[str, ...]] = ("ndcg", "format")
    kind: Literal["rewrite"]
    """The policy rewrites a query, a reranker orders the candidates by what it wrote, and the
    reward is nDCG of that order."""
    reward: RerankerReward
    candidates: int = Field(default=20, ge=2, le=1000)
    """First-stage candidates of the query as asked, which the reranker orders."""
    query_tokens: int = Field(default=32, ge=4)
    """A longer query is cut in the prompt; the reranker reads all of what is written."""
    measure_depth: int = Field(default=10, ge=1)
    """The reward is nDCG at this depth."""


Task = Annotated[
    RerankTask | PgRankTask | RankR1Task | IRankerTask | RecommendTask | RewriteTask,
    Field(discriminator="kind"),
]
