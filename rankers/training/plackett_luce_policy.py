"""A scoring reranker as a policy over rankings (Neural PG-RANK, arXiv 2310.04407). Imports torch.

Scores are utilities of a Plackett-Luce model. Its most probable ranking is the reranker's own;
here are its samples, with their exact probabilities.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from rankers.reranker.plans import seed_of
from rankers.reranker.reranker import Problem, Reranker
from rankers.training import plackett_luce


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledRanking:
    """One ranking drawn from the policy."""

    order: tuple[int, ...]
    """Input indices, best first."""
    logprobs_K: tuple[float, ...]
    """Natural log of the probability of the choice at each rank, among those left for it."""

    @property
    def logprob(self) -> float:
        """Of the whole ranking."""
        return math.fsum(self.logprobs_K)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlackettLucePolicy:
    """P(order) = product over ranks of exp(s / temperature), normalised over those left."""

    reranker: Reranker
    """Its scores must be the model's own; those of rank alone would say nothing."""
    temperature: float = 1.0

    def __post_init__(self) -> None:
        if self.reranker.score_kind == "rank":
            raise ValueError(f"{self.reranker.name} has no scores but ranks: nothing to sample by")
        if self.temperature <= 0:
            raise ValueError(f"temperature must be > 0, got {self.temperature}")

    def sample(
        self, problems: Sequence[Problem], *, num: int, seed: int
    ) -> list[list[SampledRanking]]:
        """``num`` rankings of each problem. The draws depend on ``seed``, the id of the query and
        its number of candidates, not on what else is sampled. Raises BackendError where the engine
        failed on a passage."""
        rankings = self.reranker.rank_many(problems, strict=True)
        drawn = []
        for (query, passages), ranking in zip(problems, rankings, strict=True):
            scores_K = torch.empty(len(passages), dtype=torch.float64)
            scores_K[list(ranking.order)] = torch.tensor(ranking.scores, dtype=torch.float64)
            scores_K /= self.temperature
            generator = torch.Generator().manual_seed(seed_of(f"{seed}/{query.id}", 0))
            orders_SK = plackett_luce.sample_ranking(scores_K, num, generator=generator)
            logprobs_SK = plackett_luce.rank_logprobs(scores_K, orders_SK)
            drawn.append(
                [
                    SampledRanking(order=tuple(order), logprobs_K=tuple(logprobs))
                    for order, logprobs in zip(
                        orders_SK.tolist(), logprobs_SK.tolist(), strict=True
                    )
                ]
            )
        return drawn
