"""IRanker's reward for naming the passage to eliminate (arXiv 2506.21638)."""

from __future__ import annotations

import re
from typing import Literal, NamedTuple

from rankers.elimination import answer_block, read_iranker

Variant = Literal["paper", "released"]

# ulab-uiuc/IRanker f32eb9e, verl/utils/reward_score/exclusion_reward.py; of its four patterns of
# the whole format, the last matches whatever the others do.
_RELEASED_FORMAT = re.compile(
    r"^<think>\s.*?\s</think>\n<answer>\s.*?\s</answer>$", re.DOTALL | re.MULTILINE
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
_PAPER_FORMAT = re.compile(r"\s*<think>.*?</think>\s*<answer>.*?</answer>\s*", re.DOTALL)
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
    text: str, n: int, truth: int, *, variant: Variant = "paper"
) -> ExclusionReward:
    """What ``text`` earns for excluding one of ``n`` passages (from 0), of which ``truth`` stays.

    ``released`` wants a newline between the blocks and white space inside every tag. (Its trainer
    scores prompt and response together, so that its format term is always -1; differences within
    a group, which alone teach, are the same.)
    """
    pattern, tags = {
        "paper": (_PAPER_FORMAT, _PAPER_TAGS),
        "released": (_RELEASED_FORMAT, _RELEASED_TAGS),
    }[variant]
    match = pattern.match if variant == "released" else pattern.fullmatch
    return ExclusionReward(
        exclusion=_exclusion(text, n, truth),
        format=0.0 if match(text) else -1.0,
        tags=0.0 - 0.25 * sum(len(tag.findall(text)) != 1 for tag in tags),
    )


def _exclusion(text: str, n: int, truth: int) -> float:
    if answer_block(text) is None:
        return -1.0
    reading = read_iranker(text, n)
    if reading.answer is None or reading.rule != "strict":
        return -0.5
    return 0.0 if reading.answer == truth else 1.0
