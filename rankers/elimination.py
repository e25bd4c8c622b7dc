"""IRanker (arXiv 2506.21638): the question which passage is the least relevant, and its reader."""

import re
from collections.abc import Sequence

from rankers.parsing import Reading, after_reasoning, answer_tags
from rankers.plans import Choice
from rankers.prompts import Message, neutralise_fields
from rankers.verdicts import verdict

_SYSTEM = (
    "You are a helpful assistant. You first thinks about the reasoning process in the mind and "
    "then provides the user with the answer."
)
_LABEL = re.compile(r"passage\s+([0-9]{1,9})", re.IGNORECASE)


def iranker_messages(query: str, passages: Sequence[str]) -> list[Message]:
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


def read_iranker(text: str, n: int) -> Reading[Choice]:
    """Which of ``n`` passages the answer excludes; never raises.

    Strict rule: the last answer block after the reasoning is one id, ``passage 3``. Loose rule: the
    id that the last answer tags decide for, closed or not, and without any what stands behind the
    reasoning; see ``rankers.verdicts.verdict``. Upstream goes on to the most similar text, which
    always finds somebody; here that is no answer. Reasoning that never closes holds none either.
    """
    strict = _LABEL.fullmatch(answer_block(text) or "")
    answer = after_reasoning(text) or ""
    found = (
        int(strict[1]) if strict else verdict(answer_tags(answer) or answer, "numbers", worst=True)
    )
    if found is None or found >= n:
        return Reading(answer=None, rule="none", malformed="wrong_format")
    return Reading(
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
