"""Task `iranker`: reason, then name the passage to eliminate (IRanker, arXiv 2506.21638).

An episode of eliminations is trained on as its single questions, each a list of another length.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from rankers.elimination import iranker_messages
from rankers.exclusion_reward import Variant, exclusion_reward
from rankers.methods import iranker_reranker
from rlpost.config import RunConfig
from rlpost.config_task import IRankerTask
from rlpost.tasks.choosing import first_stage_places, reasoned, truth_of
from rlpost.tasks.choosing_data import Method
from rlpost.tasks.choosing_data import prepare as prepare_choosing
from rlpost.tasks.rerank import PromptWriter, candidates_of
from rlpost.tasks.task import Prepared
from rlpost.types import Completion, Prompt, Score


class IRankerReward:
    """See ``rankers.exclusion_reward``; its terms are the parts of the score."""

    def __init__(self, *, variant: Variant) -> None:
        self._variant: Variant = variant

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        found = exclusion_reward(
            completion.text,
            len(candidates_of(prompt).doc_ids),
            truth_of(prompt),
            variant=self._variant,
        )
        return Score(total=found.total, parts=found._asdict())


def taught(writer: PromptWriter, prompt: Prompt) -> str:
    """The first stage's order, worst first, as the reasoning, and its worst as the answer."""
    labels = [f"passage {place}" for place in reversed(first_stage_places(writer, prompt))]
    return reasoned(labels, labels[0])


def prepare(cfg: RunConfig, say: Callable[[str], None]) -> Prepared:
    """See ``rlpost.prepare.prepare``."""
    task = cfg.task
    assert isinstance(task, IRankerTask)
    method = Method(
        ask=iranker_messages,
        reward=partial(IRankerReward, variant=task.variant),
        imitate=taught,
        reranker=iranker_reranker,
        sublists=True,
    )
    return prepare_choosing(cfg, say, method)
