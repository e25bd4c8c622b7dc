"""Which parameters an OpenAI-compatible endpoint takes: known by name, or read off its refusals."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from rankers.errors import DataError
from rankers.prompting.chat import without_system

MOST_LESSONS = 8
"""Refusals that one request can be changed for."""
REASONING_ROOM = 25_000
"""Tokens on top of the answer's where they count the hidden reasoning too: OpenAI's advice."""

_REASONS = re.compile(r"(?:^|/)(?:gpt-5(?!.*chat)|o[1-9](?![a-z0-9]))", re.IGNORECASE)
_OPTIONAL = {"temperature", "top_p", "n", "seed", "stop", "presence_penalty", "frequency_penalty"}
_LOGPROBS = {"logprobs", "top_logprobs"}
_REFUSES = re.compile(
    r"un(?:supported|recognized|known)|not (?:\w+ )?support|does not support|n't support"
    r"|not (?:permitted|allowed)|unexpected|extra (?:inputs|fields)",
    re.IGNORECASE,
)
_SYSTEM = re.compile(r"system|roles? must alternate|only user", re.IGNORECASE)
_QUOTED = re.compile(
    r"['\"`]([a-z_]{1,40})['\"`]|(?:supplied|parameter|argument)s?: ?([a-z_]{1,40})"
)


class Dialect:
    """How one model behind one endpoint is asked; it learns, and may be shared by threads.

    ``max_completion_tokens`` stands for ``max_tokens`` where that is refused; what changes no
    meaning, or cannot be had (a temperature), is left out; without a system turn, its text stands
    at the head of the user's.
    """

    def __init__(self, model: str) -> None:
        self._model = model
        reasons = _REASONS.search(model) is not None
        self._left_out = {"temperature"} if reasons else set[str]()
        self._new_limit = reasons
        self._folded = False

    def adapted(self, request: Mapping[str, Any]) -> dict[str, Any]:
        """``request``, written with ``max_tokens``, as the endpoint takes it."""
        asked = {name: value for name, value in request.items() if name not in self._left_out}
        if self._new_limit and "max_tokens" in asked:
            asked["max_completion_tokens"] = asked.pop("max_tokens") + REASONING_ROOM
        if self._folded:
            asked["messages"] = without_system(asked["messages"])
        return asked

    def learns(self, refusal: Any, asked: Mapping[str, Any]) -> bool:
        """Whether ``refusal`` (an error of the client) of ``asked`` tells how to ask again.

        Raises DataError where it refuses log-probabilities, which nothing can stand for.
        """
        body = getattr(refusal, "body", None)
        told = body.get("error", body) if isinstance(body, dict) else {}
        message = str(told.get("message") if isinstance(told, dict) else None or refusal)
        named = told.get("param") if isinstance(told, dict) else None
        named = named if isinstance(named, str) else ""
        if _has_system(asked["messages"]) and _SYSTEM.search(f"{message} {named}"):
            self._folded = True
            return True
        if not _REFUSES.search(message):
            return False
        found = [named, *(one or other for one, other in _QUOTED.findall(message))]
        name = next((name for name in found if name in asked), "")
        if name in _LOGPROBS:
            raise DataError(
                f"{self._model} gives no log-probabilities ({message}): use a method that writes "
                "its answer, such as listwise, setwise or pairwise"
            )
        if name in ("max_tokens", "max_completion_tokens"):
            self._new_limit = name == "max_tokens"
            return True
        if name in _OPTIONAL:
            self._left_out.add(name)
            return True
        return False


def answer_of(choice: Any) -> str:
    """The text of a choice, its reasoning put back in front where the server parted them.

    vLLM and OpenRouter call it ``reasoning``, DeepSeek and older servers ``reasoning_content``;
    Mistral lists parts. Reasoning without an opening tag was opened by the server's template.
    """
    message = choice.message
    answer, thoughts = _parts(message.content)
    for name in ("reasoning", "reasoning_content", "thinking"):
        said = getattr(message, name, None)
        thoughts = thoughts or (said if isinstance(said, str) else "")
    head, closed, _ = answer.partition("</think>")
    if closed:
        return answer if "<think>" in head else f"<think>{answer}"
    if not thoughts:
        return answer
    unfinished = choice.finish_reason == "length" and not answer
    return f"<think>{thoughts}" if unfinished else f"<think>{thoughts}</think>{answer}"


def _parts(content: Any) -> tuple[str, str]:
    """(answer, thoughts) of a message's content: a text, a list of parts, or None."""
    if not isinstance(content, list):
        return content or "", ""
    answer, thoughts = "", ""
    for part in content:
        if isinstance(part, dict):
            answer += str(part.get("text") or "")
            thoughts += _parts(part.get("thinking"))[0]
    return answer, thoughts


def _has_system(messages: Sequence[Mapping[str, str]]) -> bool:
    return any(turn["role"] == "system" for turn in messages)
