"""What a ranking method needs of a model: one protocol, so that any engine can stand behind it."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from rankers.prompts import Message


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """The answer to one chat."""

    text: str
    prompt_tokens: int
    generated_tokens: int


class Backend(Protocol):
    """Greedy text generation. One call is one batch; answers come in the order of the chats.

    Raises BackendError where the engine fails: a failure is never disguised as an answer.
    """

    def complete(
        self, chats: Sequence[Sequence[Message]], *, max_tokens: int
    ) -> Sequence[Completion]: ...
