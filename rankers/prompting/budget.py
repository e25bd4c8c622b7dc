"""Making a prompt fit the model: passages are cut, the template and the query never are."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

from rankers.errors import DataError
from rankers.prompting.prefix import CHARS_PER_TOKEN, beginning
from rankers.prompting.sanitize import neutralise, one_line
from rankers.prompting.templates import ChatMessage, Tokenizer, cut

PromptTemplate = Callable[[str, Sequence[str]], list[ChatMessage]]
"""(query, passages shown) -> chat."""


class ChatTokenizer(Tokenizer, Protocol):
    """A fast Hugging Face tokenizer with a chat template."""

    def apply_chat_template(
        self, chat: Sequence[ChatMessage], *, add_generation_prompt: bool, return_dict: bool
    ) -> Sequence[int]: ...


class FittedPrompt(NamedTuple):
    """A chat, and how many of its passages had to be cut."""

    chat: list[ChatMessage]
    truncated: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """How many tokens a prompt may take, counted with the model's own tokenizer and template."""

    tokenizer: ChatTokenizer
    max_prompt_tokens: int
    """The model's context without the room that the answer needs."""
    max_passage_tokens: int | None = None
    """Longer passages are cut to this even where they would fit."""
    max_query_tokens: int | None = None
    """A longer query is cut to this; by default it never is."""
    min_passage_tokens: int = 8
    """A prompt that leaves less than this to its long passages is refused."""

    def fit(self, ask: PromptTemplate, query: str, passages: Sequence[str]) -> FittedPrompt:
        """The chat of ``ask``, with all long passages cut to the same, largest possible length.

        Raises DataError where even passages of ``min_passage_tokens`` make it too long.
        """
        # Neutralised first, as in training: it may lengthen a text, or shorten its white space.
        passages = [neutralise(self._beginning(passage)) for passage in passages]
        if self.max_query_tokens is not None:
            query = cut(neutralise(query), self.tokenizer, self.max_query_tokens)
        limit = self.max_passage_tokens
        shown = list(passages) if limit is None else self._cut(passages, limit)
        shown = [self._within_the_prompt(passage) for passage in shown]
        chat = ask(query, shown)
        excess = self.size(chat) - self.max_prompt_tokens
        if excess > 0:
            shown, chat = self._shrunk(
                ask, query, passages, _level(map(self._length, shown), excess)
            )
        kept = zip(passages, shown, strict=True)
        return FittedPrompt(chat, sum(len(text) < len(passage) for passage, text in kept))

    def _shrunk(
        self, ask: PromptTemplate, query: str, passages: Sequence[str], limit: int
    ) -> tuple[list[str], list[ChatMessage]]:
        """Passages of at most ``limit`` tokens, or fewer until the chat fits; and that chat."""
        least = min(self.min_passage_tokens, self.max_passage_tokens or self.min_passage_tokens)
        limit = max(limit, least)
        while True:
            shown = self._cut(passages, limit)
            chat = ask(query, shown)
            excess = self.size(chat) - self.max_prompt_tokens
            if excess <= 0:
                return shown, chat
            if limit == least:
                raise DataError(
                    f"query {query[:40]!r}: a prompt with {len(passages)} passages of {limit} "
                    f"tokens takes {excess} more than {self.max_prompt_tokens}: show fewer "
                    "passages at a time, or take a model with a longer context"
                )
            # Neutralised text can take more tokens than the text it came from.
            limit = max(least, limit - max(1, excess // (4 * len(passages))))

    def size(self, chat: Sequence[ChatMessage]) -> int:
        """Tokens of ``chat`` as the model reads it, up to where its answer begins."""
        return len(
            self.tokenizer.apply_chat_template(
                list(chat), add_generation_prompt=True, return_dict=False
            )
        )

    def _cut(self, passages: Sequence[str], limit: int) -> list[str]:
        return [cut(passage, self.tokenizer, limit) for passage in passages]

    def _beginning(self, passage: str) -> str:
        """As much of it as a prompt could hold. Counted as it will be shown."""
        return beginning(
            one_line(passage), self.max_prompt_tokens, lambda start: self._length(neutralise(start))
        )

    def _within_the_prompt(self, passage: str) -> str:
        """A passage that is longer than a whole prompt, cut to that: it is counted faster."""
        if len(passage) < CHARS_PER_TOKEN * self.max_prompt_tokens:
            return passage
        return cut(passage, self.tokenizer, self.max_prompt_tokens)

    def _length(self, text: str) -> int:
        encoded = self.tokenizer(
            text, add_special_tokens=False, return_offsets_mapping=True, verbose=False
        )
        return len(encoded["offset_mapping"])


def fitted(
    budget: Budget | None, ask: PromptTemplate, query: str, passages: Sequence[str]
) -> FittedPrompt:
    """The chat of ``ask`` within ``budget``; as it is where there is none."""
    return (
        FittedPrompt(ask(query, passages), 0)
        if budget is None
        else budget.fit(ask, query, passages)
    )


def _level(lengths: Iterable[int], excess: int) -> int:
    """The largest common cap under which ``lengths`` lose at least ``excess`` in sum.

    0 or less where there is not as much to lose.
    """
    falling = sorted(lengths, reverse=True)
    level = falling[0] if falling else 0
    above = 0
    for length in falling:
        # Lowering the cap from here to the next length takes one token from each of ``above``.
        if above and above * (level - length) >= excess:
            break
        excess -= above * (level - length)
        level = length
        above += 1
    return level - -(-excess // max(1, above))
