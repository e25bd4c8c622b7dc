"""Chats, labels and answers -> token ids, by the tokenizer and template of one model."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from rankers.errors import BackendError, DataError
from rankers.prompting.chat import ChatTemplate, answer_text
from rankers.prompting.templates import ChatMessage

P = TypeVar("P")
T = TypeVar("T")


class Given(NamedTuple):
    """A prompt with an answer to be scored."""

    prompt: list[int]
    answer: list[int]


class Renderer:
    """What every backend that sees tokens needs of the tokenizer; also a ``ChatTokenizer``."""

    def __init__(
        self,
        model_path: str | Path,
        *,
        chat_options: Mapping[str, object] | None = None,
        max_length: int | None = None,
    ) -> None:
        """``chat_options`` go to the chat template (``enable_thinking=False``, say);
        ``max_length`` bounds prompt plus answer (default: the model's context). Encoder-decoder
        models (T5) take the texts of the turns without a template, and with the end token that
        their tokenizer adds.

        Raises DataError where a chat model has no chat template: its prompts would be guessed.
        """
        from transformers import AutoConfig, AutoTokenizer, GenerationConfig

        self.tokenizer: Any = AutoTokenizer.from_pretrained(model_path)
        config: Any = AutoConfig.from_pretrained(model_path)
        self.encoder_decoder: bool = config.is_encoder_decoder
        if not self.encoder_decoder and self.tokenizer.chat_template is None:
            raise DataError(f"{model_path} has no chat template: add one to its tokenizer")
        self.chat = ChatTemplate(self.tokenizer, options=chat_options, model=str(model_path))
        positions = getattr(config, "max_position_embeddings", None)  # relative in T5: no bound
        self.context: int | None = min(filter(None, (max_length, positions)), default=None)
        try:
            listed = GenerationConfig.from_pretrained(model_path).eos_token_id
        except OSError:  # the file is optional
            listed = config.eos_token_id
        stop = {self.tokenizer.eos_token_id, *(listed if isinstance(listed, list) else [listed])}
        self.stop: frozenset[int] = frozenset(stop - {None})

    def prompts(
        self, chats: Sequence[Sequence[ChatMessage]], *, room: int, primer: Sequence[int] = ()
    ) -> list[list[int] | BackendError]:
        """Token ids of each chat up to where the answer begins, then ``primer``.

        BackendError in place of a prompt that, with ``room`` more tokens, exceeds the context.
        """
        prompts = [[*self._ids(chat), *primer] for chat in chats]
        return [self._too_long(prompt, room) or prompt for prompt in prompts]

    def given(
        self, chats: Sequence[Sequence[ChatMessage]], answers: Sequence[str]
    ) -> list[Given | BackendError]:
        """Token ids of chats and their answers, BackendError in place of what does not fit.

        Raises DataError for an answer of no tokens.
        """
        pairs = [
            Given(self._ids(chat), self.encode(self.chat.harmless(answer)))
            for chat, answer in zip(chats, answers, strict=True)
        ]
        for pair, answer in zip(pairs, answers, strict=True):
            if not pair.answer:
                raise DataError(f"the answer {answer!r} has no tokens: there is nothing to score")
        return [self._too_long(pair.prompt, len(pair.answer)) or pair for pair in pairs]

    def label_ids(self, labels: Sequence[str], primer: str) -> tuple[list[int], list[int]]:
        """Token ids of ``primer``, and the one token that each label is after it.

        Raises DataError on a label of several tokens.
        """
        start = self.encode(primer)
        return start, [self._label_id(label, primer, start) for label in labels]

    def encode(self, text: str) -> list[int]:
        """Token ids of ``text`` alone, without control tokens around it."""
        ids: list[int] = self.tokenizer.encode(text, add_special_tokens=False)
        return ids

    def text(self, token_ids: Sequence[int]) -> str:
        """What tokens stand for, control tokens left out."""
        return answer_text(self.tokenizer, (), token_ids)

    def answer(self, prompt: Sequence[int], token_ids: Sequence[int]) -> str:
        """See ``rankers.prompting.chat.answer_text``."""
        return answer_text(self.tokenizer, prompt, token_ids)

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool, verbose: bool
    ) -> Mapping[str, Any]:
        """See ``rankers.prompting.templates.Tokenizer``."""
        encoded: Mapping[str, Any] = self.tokenizer(
            text,
            add_special_tokens=add_special_tokens,
            return_offsets_mapping=return_offsets_mapping,
            verbose=verbose,
        )
        return encoded

    def apply_chat_template(
        self, chat: Sequence[ChatMessage], *, add_generation_prompt: bool, return_dict: bool
    ) -> Sequence[int]:
        """See ``rankers.prompting.budget.ChatTokenizer``; with this model's own options."""
        return self._ids(chat)

    def _ids(self, chat: Sequence[ChatMessage]) -> list[int]:
        if not self.encoder_decoder:
            return self.chat(chat)
        text = "\n".join(self.chat.harmless(turn["content"]) for turn in chat)
        ids: list[int] = self.tokenizer(text)["input_ids"]
        return ids

    def _too_long(self, prompt: list[int], room: int) -> BackendError | None:
        if self.context is None or len(prompt) + room <= self.context:
            return None
        return BackendError(
            f"a prompt of {len(prompt)} tokens and an answer of {room} exceed the model's "
            f"context of {self.context}: show fewer or shorter passages"
        )

    def _label_id(self, label: str, primer: str, start: list[int]) -> int:
        ids = self.encode(primer + label)
        if len(ids) != len(start) + 1 or ids[: len(start)] != start:
            raise DataError(
                f"label {label!r} after {primer!r} is not one token of this model: use a method "
                "that generates its answers"
            )
        return ids[-1]


def answer_fitting(
    prompts: Sequence[P | BackendError], answer: Callable[[list[P]], Sequence[T]]
) -> list[T | BackendError]:
    """``answer`` what fits the context, as one batch; every other prompt is its own error."""
    fitting = [prompt for prompt in prompts if not isinstance(prompt, BackendError)]
    answers = iter(answer(fitting) if fitting else ())
    return [prompt if isinstance(prompt, BackendError) else next(answers) for prompt in prompts]
