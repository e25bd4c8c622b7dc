"""IRanker's reward for naming the passage to eliminate (arXiv 2506.21638)."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Literal, NamedTuple

from rankers.elimination import answer_block, read_iranker

Variant = Literal["paper", "released"]

# ulab-uiuc/IRanker f32eb9e: verl/trainer/main_ppo.py scores prompt and response as one text, by
# verl/utils/reward_score/exclusion_reward.py. Of the prompt, only this end holds tags.
_RELEASED_PROMPT = (
    "Show your work in <think> </think> tags. And return the final answer in <answer> </answer> "
    "tags.<|im_end|>\n<|im_start|>assistant\nLet me solve this step by step.\n<think>"
)
_RELEASED_TAGS = tuple(
    re.compile(pattern)
    for pattern in (
        r"<think>\s",
        r"\s</think>\n",
        r"\n<answer>\s",
        r"\s</answer>",
    )
)
_PAPER_TURN = re.compile(r"</think>\s*+<answer>")
_PAPER_TAGS = tuple(re.compile(tag) for tag in ("<think>", "</think>", "<answer>", "</answer>"))


class ExclusionReward(NamedTuple):
    """The three terms; the reward is their sum."""

    exclusion: float
    """1 for a candidate other than the truth, 0 for the truth, -0.5 for none of the candidates,
    -1 without an answer."""
    format: float
    """0 if the text is one reasoning block and one answer block, else -1."""
    tags: float
    """-0.25 for each of the four tags that does not stand there exactly once."""

    @property
    def total(self) -> float:
        return self.exclusion + self.format + self.tags


def exclusion_reward(
    text: str, n: int, truth: int, *, variant: Variant = "paper", opened: str = ""
) -> ExclusionReward:
    """What ``text`` earns for excluding one of ``n`` passages (from 0), of which ``truth`` stays.

    ``released`` is what upstream trained with. Its trainer scores the prompt along with the
    response, so that the format term is always -1; the prompt's own tags count as the first of
    each, and its empty answer pair stands in for an answer that is missing (-0.5, not -1). White
    space must stand inside every tag, a newline before the answer block. A good answer earns -0.5
    there, 1.75 more than reasoning without an answer; as ``paper`` it earns 1, 3.75 more.
    ``opened`` is as in ``rankers.choices.rank_r1_reward``.
    """
    text = opened + text
    if variant == "released":
        return _released(text, n, truth)
    return ExclusionReward(
        exclusion=_exclusion(text, n, truth),
        format=0.0 if _is_paper(text) else -1.0,
        tags=_tags(_PAPER_TAGS, text),
    )


def _exclusion(text: str, n: int, truth: int) -> float:
    if answer_block(text) is None:
        return -1.0
    reading = read_iranker(text, n)
    if reading.answer is None or reading.rule != "strict":
        return -0.5
    return 0.0 if reading.answer == truth else 1.0


def _is_paper(text: str) -> bool:
    """Whether all of it is ``<think>.*?</think>\\s*<answer>.*?</answer>``; in linear time."""
    text = text.strip()
    if not (text.startswith("<think>") and text.endswith("</answer>")):
        return False
    end = len(text) - len("</answer>")
    return _PAPER_TURN.search(text, len("<think>"), end) is not None


def _released(text: str, n: int, truth: int) -> ExclusionReward:
    # There the prompt opens the reasoning; a text that opens it itself says the same.
    whole = _RELEASED_PROMPT + re.sub(r"\A\s*<think>", "", text)
    found = _last_answer(whole).split("\n", 1)[0]
    exclusion = -0.5 if found not in {f"passage {i}" for i in range(n)} else 1.0
    if found == f"passage {truth}":
        exclusion = 0.0
    return ExclusionReward(exclusion=exclusion, format=-1.0, tags=_tags(_RELEASED_TAGS, whole))


def _last_answer(whole: str) -> str:
    """The last match of ``<answer>(.*?)</answer>``, stripped, in linear time."""
    found, start = "", 0
    while (opened := whole.find("<answer>", start)) >= 0:
        opened += len("<answer>")
        closed = whole.find("</answer>", opened)
        if closed < 0:
            break
        found, start = whole[opened:closed].strip(), closed + len("</answer>")
    return found


def _tags(tags: Sequence[re.Pattern[str]], text: str) -> float:
    return 0.0 - 0.25 * sum(len(tag.findall(text)) != 1 for tag in tags)
