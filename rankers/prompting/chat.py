"""Chats -> token ids: the one renderer of training, warm start, distillation and serving."""

import json
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from rankers.errors import DataError
from rankers.prompting.control_tokens import Controls, added_tokens, turn_markers
from rankers.prompting.templates import ChatMessage

_OPENED = re.compile(r"<think>\s*\Z")
TAGS = ("<think>", "</think>", "<answer>", "</answer>")
"""What readers of answers look for, a special token or not."""

_TAIL = 24
"""Tokens that a think tag and white space at the end of a prompt take at most."""
_MARKS = ("Zqaone", "Zqatwo", "Zqathree")


class ChatTemplate:
    """The chat template of one model, with its options.

    Where it takes no system turn (it refuses one, or leaves its text out), the text stands at the
    head of the first user turn. Control tokens and turn markers of the model that a text holds are
    broken (``rankers.prompting.control_tokens``).
    """

    def __init__(
        self, tokenizer: Any, *, options: Mapping[str, object] | None = None, model: str = ""
    ) -> None:
        """``options`` are the template's own, such as ``enable_thinking``; ``model`` is its name
        in errors."""
        self._tokenizer = tokenizer
        self._options = dict(options or {})
        self._model = model or getattr(tokenizer, "name_or_path", "") or "this model"
        first, second, third = _MARKS
        self._takes_system = self._shows([_turn("system", first), _turn("user", second)])
        turns = [_turn("user", first), _turn("assistant", second), _turn("user", third)]
        self._takes_history = self._shows(turns)
        probe = turns if self._takes_history else turns[:1]
        pieces = re.split("|".join(_MARKS), self._text(probe) or "")
        self._controls = Controls(added_tokens(tokenizer), turn_markers(pieces))

    def __call__(self, chat: Sequence[ChatMessage]) -> list[int]:
        """Token ids of a chat up to where the assistant's next turn begins.

        Raises DataError where the template refuses the chat or would leave out a turn of it.
        """
        turns = [{**turn, "content": self.harmless(turn["content"])} for turn in chat]
        if not self._takes_system:
            turns = without_system(turns)
        if len(turns) > 2 and not self._takes_history:
            raise self._refusal(chat, "it shows no earlier turns")
        try:
            ids: list[int] = self._tokenizer.apply_chat_template(
                turns, add_generation_prompt=True, return_dict=False, **self._options
            )
        except Exception as error:  # whatever a template's author wrote
            raise self._refusal(chat, str(error)) from error
        return ids

    def harmless(self, text: str) -> str:
        """``text`` without what this model reads as control."""
        return self._controls.broken(text)

    def _shows(self, turns: Sequence[ChatMessage]) -> bool:
        text = self._text(turns)
        return text is not None and all(turn["content"] in text for turn in turns)

    def _text(self, turns: Sequence[ChatMessage]) -> str | None:
        """What the template makes of ``turns``; None where it refuses them."""
        try:
            text: str = self._tokenizer.apply_chat_template(
                list(turns), add_generation_prompt=True, tokenize=False, **self._options
            )
        except Exception:  # its author's way of saying no; what matters is refused in __call__
            return None
        return text

    def _refusal(self, chat: Sequence[ChatMessage], reason: str) -> DataError:
        roles = ", ".join(turn["role"] for turn in chat)
        return DataError(
            f"the chat template of {self._model} cannot show the turns {roles} ({reason}): choose "
            "a prompt with other turns (task.template, --template), or another model"
        )


def chat_template(tokenizer: Any, options: Mapping[str, object] | None = None) -> ChatTemplate:
    """The ``ChatTemplate`` of a tokenizer as it is now; one made before where there is one."""
    template = json.dumps(getattr(tokenizer, "chat_template", None), default=str)
    return _made(tokenizer, template, json.dumps(options or {}, sort_keys=True, default=str))


def answer_text(tokenizer: Any, prompt_ids: Sequence[int], token_ids: Sequence[int]) -> str:
    """The answer that generated tokens stand for, control tokens left out but for ``TAGS``.

    Where the template opened the reasoning at the end of the prompt, it begins with that tag.
    """
    tags = _special_tags(tokenizer)
    parts, plain = [opening(tokenizer, prompt_ids)], list[int]()
    for token in token_ids:
        if token in tags:
            parts += [_decoded(tokenizer, plain), tags[token]]
            plain = []
        else:
            plain.append(token)
    return "".join([*parts, _decoded(tokenizer, plain)])


def opening(tokenizer: Any, prompt_ids: Sequence[int]) -> str:
    """What of a prompt belongs to its answer: the think tag that the template opened, else ''."""
    tail: str = tokenizer.decode(list(prompt_ids[-_TAIL:]), skip_special_tokens=False)
    found = _OPENED.search(tail)
    return found[0] if found else ""


def _decoded(tokenizer: Any, token_ids: Sequence[int]) -> str:
    text: str = tokenizer.decode(list(token_ids), skip_special_tokens=True) if token_ids else ""
    return text


@lru_cache(maxsize=16)
def _special_tags(tokenizer: Any) -> Mapping[int, str]:
    """Those of ``TAGS`` that decoding would leave out."""
    added = getattr(tokenizer, "added_tokens_decoder", {})
    return {
        number: token.content
        for number, token in added.items()
        if token.special and token.content in TAGS
    }


@lru_cache(maxsize=16)
def _made(tokenizer: Any, template: str, options: str) -> ChatTemplate:
    return ChatTemplate(tokenizer, options=json.loads(options))


def _turn(role: str, content: str) -> ChatMessage:
    return {"role": role, "content": content}


def without_system(turns: Sequence[ChatMessage]) -> list[ChatMessage]:
    """``turns`` with the texts of system turns at the head of the first user turn."""
    texts = [turn["content"] for turn in turns if turn["role"] == "system"]
    others = [turn for turn in turns if turn["role"] != "system"]
    if not texts:
        return others
    if not others or others[0]["role"] != "user":
        return [_turn("user", "\n\n".join(texts)), *others]
    first = _turn("user", "\n\n".join([*texts, others[0]["content"]]))
    return [first, *others[1:]]
