"""Task `rank_r1`: reason, then name the most relevant passage (Rank-R1, arXiv 2503.06034)."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rankers.methods import rank_r1_reranker
from rankers.methods.rank_r1 import rank_r1_messages, rank_r1_reward
from rlpost.config.run import RunConfig
from rlpost.config.task import RankR1Task
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.ranking.prompts import PromptWriter
from rlpost.tasks.ranking.selection import (
    SelectionMethod,
    first_stage_places,
    reasoned,
    relevant_position,
)
from rlpost.tasks.ranking.selection import prepare as prepare_choosing
from rlpost.types import Completion, Prompt, Score


class RankR1Reward:
    """1 for well-formed reasoning with exactly the label of the relevant passage, else 0."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return Score(total=rank_r1_reward(completion.text, relevant_position(prompt) + 1))


def demonstration(writer: PromptWriter, prompt: Prompt) -> str:
    """The first stage's order as the reasoning, and its best as the answer."""
    labels = [f"[{place + 1}]" for place in first_stage_places(writer, prompt)]
    return reasoned(labels, labels[0])


def prepare(cfg: RunConfig, say: Callable[[str], None]) -> PreparedTask:
    """See ``rlpost.tasks.by_name.prepare``."""
    task = cfg.task
    assert isinstance(task, RankR1Task)
    method = SelectionMethod(
        ask=partial(rank_r1_messages, version=task.version),
        reward=RankR1Reward,
        imitate=demonstration,
        reranker=partial(
            rank_r1_reranker,
            version=task.version,
            num_children=task.candidates - 1,
            k=task.candidates,
            seed=cfg.seed,
        ),
        sublists=False,
    )
    return prepare_choosing(cfg, say, method)
