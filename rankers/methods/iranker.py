"""IRanker (arXiv 2506.21638): elimination of the least relevant passage; prompt, parser, reward."""

from __future__ import annotations

import re
from collections.abc import Sequence
from functools import partial
from typing import Literal, NamedTuple

from rankers.prompting.budget import Budget
from rankers.prompting.parsing import ParsedAnswer, after_reasoning, answer_tags
from rankers.prompting.sanitize import neutralise_fields
from rankers.prompting.templates import ChatMessage
from rankers.prompting.verdicts import verdict
from rankers.reranker.judges import TextScorer
from rankers.reranker.plans import Choice, RankingPlan, at_most, by_rank, unseeded
from rankers.reranker.protocols import Backend
from rankers.reranker.reranker import PlannedReranker


def elimination_plan(n: int) -> RankingPlan[Choice]:
    """IRanker (arXiv 2506.21638): n-1 questions, each names the *least* relevant one remaining.

    The order is the reverse of removal. An unusable answer removes the one ranked last so far.
    """
    remaining = list(range(n))
    removed: list[int] = []
    while len(remaining) > 1:
        [choice] = yield [tuple(remaining)]
        usable = choice is not None and 0 <= choice < len(remaining)
        removed.append(remaining.pop(choice if choice is not None and usable else -1))
    return by_rank([*remaining, *reversed(removed)])


def iranker_reranker(
    backend: Backend, *, max_tokens: int = 1024, budget: Budget | None = None
) -> PlannedReranker[Choice]:
    """Elimination of the least relevant passage, one by one, with reasoning (arXiv 2506.21638)."""
    return PlannedReranker(
        name="iranker",
        plan=partial(unseeded, elimination_plan),
        judge=TextScorer(
            backend=backend,
            ask=iranker_messages,
            read=read_iranker,
            max_tokens=partial(at_most, max_tokens),
            budget=budget,
        ),
    )


_SYSTEM = (
    "You are a helpful assistant. You first thinks about the reasoning process in the mind and "
    "then provides the user with the answer."
)

_LABEL = re.compile(r"passage\s+([0-9]{1,9})", re.IGNORECASE)


def iranker_messages(query: str, passages: Sequence[str]) -> list[ChatMessage]:
    """IRanker's exclusion question about what is left of the candidates.

    Passages are numbered from 0 by place, where ulab-uiuc/IRanker f32eb9e leaves the gaps of those
    eliminated; and the assistant's turn is left to the model, which upstream opens for it.
    """
    listed = "\n".join(f"passage {i}: {neutralise_fields(text)}" for i, text in enumerate(passages))
    content = (
        f"Here is a query: {neutralise_fields(query)}.\n"
        f"And here are the candidate passages:\n{listed}\n\n"
        "Please think step by step according to the content of each passage and how well it "
        "supports or relates to the query. Select the least likely passage from the candidate "
        "list. Only return the passage ID corresponding to the excluded passage (e.g., "
        '"passage x"). You MUST choose one passage from the candidate list. You can not generate '
        "content that is not in the given candidate list. Show your work in <think> </think> tags. "
        "And return the final answer in <answer> </answer> tags."
    )
    return [{"role": "system", "content": _SYSTEM}, {"role": "user", "content": content}]


def read_iranker(text: str, n: int) -> ParsedAnswer[Choice]:
    """Which of ``n`` passages the answer excludes; never raises.

    Strict rule: the last answer block after the reasoning is one id, ``passage 3``. Loose rule: the
    id that the last answer tags decide for, closed or not, and without any what stands behind the
    reasoning; see ``rankers.prompting.verdicts.verdict``. Upstream goes on to the most similar
    text, which always finds somebody; here that is no answer. Reasoning that never closes holds
    none either.
    """
    strict = _LABEL.fullmatch(answer_block(text) or "")
    answer = after_reasoning(text) or ""
    found = (
        int(strict[1]) if strict else verdict(answer_tags(answer) or answer, "numbers", worst=True)
    )
    if found is None or found >= n:
        return ParsedAnswer(answer=None, rule="none", malformed="wrong_format")
    return ParsedAnswer(
        answer=found,
        rule="strict" if strict else "loose",
        malformed="ok" if strict else "wrong_format",
    )


def answer_block(text: str) -> str | None:
    """What stands in the last ``<answer>...</answer>`` after the last closing think tag, stripped.

    None where there is none, or where reasoning was opened and not closed.
    """
    answer = text.rpartition("</think>")[2]
    head, tag, _ = answer.rpartition("</answer>")
    _, opened, block = head.rpartition("<answer>")
    return block.strip() if tag and opened and "<think>" not in answer else None


IRankerVariant = Literal["paper", "released"]

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
    text: str, n: int, truth: int, *, variant: IRankerVariant = "paper", opened: str = ""
) -> ExclusionReward:
    """What ``text`` earns for excluding one of ``n`` passages (from 0), of which ``truth`` stays.

    ``released`` is what upstream trained with. Its trainer scores the prompt along with the
    response, so that the format term is always -1; the prompt's own tags count as the first of
    each, and its empty answer pair stands in for an answer that is missing (-0.5, not -1). White
    space must stand inside every tag, a newline before the answer block. A good answer earns -0.5
    there, 1.75 more than reasoning without an answer; as ``paper`` it earns 1, 3.75 more.
    ``opened`` is as in ``rankers.methods.rank_r1.rank_r1_reward``.
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
