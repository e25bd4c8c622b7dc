"""Task `iranker`: reason, then name the passage to eliminate (IRanker, arXiv 2506.21638).

An episode of eliminations is trained on as its single questions, each a list of another length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rankers.methods import iranker_reranker
from rankers.methods.iranker import IRankerVariant, exclusion_reward, iranker_messages
from rlpost.config.run import RunConfig
from rlpost.config.task import IRankerTask
from rlpost.tasks.base import PreparedTask
from rlpost.tasks.ranking.prompts import PromptWriter, candidates_of
from rlpost.tasks.ranking.selection import (
    SelectionMethod,
    first_stage_places,
    reasoned,
    relevant_position,
)
from rlpost.tasks.ranking.selection import prepare as prepare_choosing
from rlpost.types import Completion, Prompt, Score


class IRankerReward:
    """See ``rankers.methods.iranker``; its terms are the parts of the score."""

    def __init__(self, *, variant: IRankerVariant) -> None:
        self._variant: IRankerVariant = variant

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        found = exclusion_reward(
            completion.text,
            len(candidates_of(prompt).doc_ids),
            relevant_position(prompt),
            variant=self._variant,
        )
        return Score(total=found.total, parts=found._asdict())


def demonstration(writer: PromptWriter, prompt: Prompt) -> str:
    """The first stage's order, worst first, as the reasoning, and its worst as the answer."""
    labels = [f"passage {place}" for place in reversed(first_stage_places(writer, prompt))]
    return reasoned(labels, labels[0])


def prepare(cfg: RunConfig, say: Callable[[str], None]) -> PreparedTask:
    """See ``rlpost.tasks.by_name.prepare``."""
    task = cfg.task
    assert isinstance(task, IRankerTask)
    method = SelectionMethod(
        ask=iranker_messages,
        reward=partial(IRankerReward, variant=task.variant),
        imitate=demonstration,
        reranker=iranker_reranker,
        sublists=True,
    )
    return prepare_choosing(cfg, say, method)
