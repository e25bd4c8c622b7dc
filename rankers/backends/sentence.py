"""Embedders and cross-encoders of sentence-transformers, on CPU or GPU."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rankers.backends.sentence_load import load_sentence_model
from rankers.backends.weights import with_adapter
from rankers.errors import BackendError, DataError, backend_boundary
from rankers.prompting.budget import Budget
from rankers.prompting.prefix import beginning
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Dtype = Literal["float32", "bfloat16"]


BATCH_SIZE = {"cpu": 8, "cuda": 64}
"""Texts per forward pass: on a CPU, a batch that leaves its cache costs 1.4 times as much."""


class SentenceEmbedder:
    """A ``ChatEmbedder`` on a sentence-transformers model; it reads a chat as plain text.

    Longer texts are cut to the model's ``max_tokens``. bfloat16 is three times as fast on a CPU
    and changes cosines in the fourth digit.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        adapter: Path | None = None,
        max_tokens: int | None = None,
        dtype: Dtype = "float32",
        device: str = "cpu",
        batch_size: int | None = None,
    ) -> None:
        """``adapter``: a PEFT folder, merged into the transformer's weights. ``max_tokens``: at
        most the model's own limit. Raises DataError where it is no model."""
        import torch

        read = partial(load_sentence_model, "SentenceTransformer", model_path, device=device)
        if adapter is None:
            self._model = read(dtype=dtype)
        else:
            self._model = read(dtype="float32")
            with_adapter(self._model[0].model, adapter)  # in place
            self._model.to(dtype=getattr(torch, dtype))
        limit = self._model.max_seq_length
        self._model.max_seq_length = min(filter(None, (max_tokens, limit)), default=None)
        self._batch_size = batch_size or BATCH_SIZE[device.partition(":")[0]]

    @property
    def budget(self) -> Budget | None:
        """See ``ChatEmbedder.budget``."""
        limit = self._model.max_seq_length
        if limit is None:
            return None
        return Budget(tokenizer=PlainChats(self._model.tokenizer), max_prompt_tokens=limit)

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See ``Embedder.embed``: without any prompt of the model's own."""
        return self._encoded(self._model.encode, texts, "")

    def embed_as(
        self, role: Role, texts: Sequence[str], *, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """See ``RoleEmbedder.embed_as``: what ``encode_query`` and ``encode_document`` give."""
        encode = self._model.encode_query if role == "query" else self._model.encode_document
        return self._encoded(encode, texts, prompt)

    def _encoded(
        self, encode: Callable[..., Any], texts: Sequence[str], prompt: str | None
    ) -> NDArray[np.float32]:
        texts = read_of(texts, self._model.max_seq_length, self._model.tokenizer)
        with backend_boundary(f"sentence-transformers, on {len(texts)} texts"):
            vectors: NDArray[np.float32] = (
                encode(
                    list(texts),
                    prompt=prompt,
                    batch_size=self._batch_size,
                    convert_to_tensor=True,
                    show_progress_bar=False,
                )
                .float()
                .cpu()
                .numpy()
            )
        return vectors

    def embed_chats(self, chats: Sequence[Sequence[ChatMessage]]) -> NDArray[np.float32]:
        """See ``ChatEmbedder.embed_chats``: the turns' texts, one after the other."""
        budget = self.budget
        longest = max(map(budget.size, chats)) if budget else 0
        if budget and longest > budget.max_prompt_tokens:
            raise BackendError(
                f"a chat of {longest} tokens exceeds the model's {budget.max_prompt_tokens}: show "
                "fewer or shorter passages"
            )
        return self.embed([_plain(chat) for chat in chats])


def read_of(texts: Sequence[str], tokens: int | None, tokenizer: Any) -> list[str]:
    """The beginnings of texts that a model reads of them; each text is looked at once."""
    if tokens is None:
        return list(texts)

    def count(start: str) -> int:
        return len(tokenizer(start, add_special_tokens=False, verbose=False)["input_ids"])

    found = {text: beginning(text, tokens, count) for text in dict.fromkeys(texts)}
    return [found[text] for text in texts]


class PlainChats:
    """A ``ChatTokenizer`` for a model without a chat template: it reads the turns' texts."""

    def __init__(self, tokenizer: Any) -> None:
        self._tokenizer = tokenizer

    def __call__(
        self, text: str, *, add_special_tokens: bool, return_offsets_mapping: bool, verbose: bool
    ) -> Mapping[str, Any]:
        """See ``rankers.prompting.templates.Tokenizer``."""
        encoded: Mapping[str, Any] = self._tokenizer(
            text,
            add_special_tokens=add_special_tokens,
            return_offsets_mapping=return_offsets_mapping,
            verbose=verbose,
        )
        return encoded

    def apply_chat_template(
        self, chat: Sequence[ChatMessage], *, add_generation_prompt: bool, return_dict: bool
    ) -> Sequence[int]:
        """See ``rankers.prompting.budget.ChatTokenizer``."""
        ids: Sequence[int] = self._tokenizer(_plain(chat), verbose=False)["input_ids"]
        return ids


class SentenceCrossScorer:
    """A ``CrossScorer`` on a cross-encoder of sentence-transformers: raw logits, no sigmoid."""

    def __init__(
        self,
        model_path: str | Path,
        *,
        max_tokens: int | None = None,
        dtype: Dtype = "float32",
        device: str = "cpu",
        batch_size: int | None = None,
    ) -> None:
        """``max_tokens`` of query and passage together. Raises DataError where it is no model."""
        self._model = load_sentence_model("CrossEncoder", model_path, device=device, dtype=dtype)
        if max_tokens is not None:
            self._model.max_seq_length = max_tokens
        if self._model.num_labels != 1:
            raise DataError(
                f"{model_path} gives {self._model.num_labels} numbers per pair: a reranker is a "
                "cross-encoder with one"
            )
        self._batch_size = batch_size or BATCH_SIZE[device.partition(":")[0]]

    def score(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        """See ``CrossScorer.score``."""
        tokenizer, most = self._model.tokenizer, self._model.max_seq_length
        queries = read_of([query for query, _ in pairs], most, tokenizer)
        pairs = list(
            zip(queries, read_of([text for _, text in pairs], most, tokenizer), strict=True)
        )
        scores = [0.0] * len(pairs)
        with backend_boundary(f"sentence-transformers, on {len(pairs)} pairs"):
            order = self._longest_first(pairs)
            for start in range(0, len(order), self._batch_size):
                batch = order[start : start + self._batch_size]
                for i, score in zip(batch, self._logits([pairs[i] for i in batch]), strict=True):
                    scores[i] = score
        return scores

    def _longest_first(self, pairs: Sequence[tuple[str, str]]) -> list[int]:
        """By tokens: ``predict`` sorts by characters, which leaves a tenth as padding."""
        if not pairs:
            return []
        ids = self._model.tokenizer(list(map(list, pairs)), verbose=False)["input_ids"]
        return sorted(range(len(pairs)), key=lambda i: -len(ids[i]))

    def _logits(self, pairs: Sequence[tuple[str, str]]) -> list[float]:
        import torch

        logits: list[float] = (
            self._model.predict(
                list(map(list, pairs)),
                batch_size=self._batch_size,
                activation_fn=torch.nn.Identity(),
                convert_to_tensor=True,
                show_progress_bar=False,
            )
            .float()
            .tolist()
        )
        return logits


def _plain(chat: Sequence[ChatMessage]) -> str:
    return "\n".join(turn["content"] for turn in chat)
