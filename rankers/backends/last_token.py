"""Embeddings of a causal language model: the hidden state of the last token (E2Rank)."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from rankers.backends.rendering import Renderer
from rankers.backends.sentence_load import own_prompts
from rankers.backends.weights import load_whole
from rankers.errors import BackendError, DataError, backend_boundary
from rankers.prompting.budget import Budget
from rankers.prompting.prefix import beginning
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import Role

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


class LastTokenEmbedder:
    """A ``ChatEmbedder`` on transformers: last hidden state, after the final norm.

    A text gets an end token appended by hand, and is cut in front of it where it is too long; a
    chat ends where the answer would begin and gets none. That is E2Rank's convention
    (arXiv 2510.22733), whose Qwen3 models take ``<|endoftext|>``.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        end_token: str = "<|endoftext|>",
        max_tokens: int | None = None,
        dtype: str = "float32",
        device: str = "cpu",
        max_batch_tokens: int = 16_384,
    ) -> None:
        """``max_tokens`` of a text or a chat, with the end token (default: the model's context).

        Raises DataError where ``end_token`` is not one token of the model.
        """
        import torch
        from transformers import AutoModel

        self._renderer = Renderer(
            model_path, chat_options={"enable_thinking": False}, max_length=max_tokens
        )
        end = self._ids(end_token)
        if len(end) != 1:
            raise DataError(
                f"{end_token!r} is {len(end)} tokens of {model_path}: give the token that its "
                "embeddings end with"
            )
        self._end = end
        self._prompts = dict(zip(("query", "passage"), own_prompts(Path(model_path)), strict=True))
        with backend_boundary(f"loading {model_path} with transformers"):
            self._model = load_whole(
                AutoModel, model_path, unused=("pooler",), dtype=getattr(torch, dtype)
            )
            self._model.to(device).eval()
        self._max_batch_tokens = max_batch_tokens

    @property
    def chat_tokenizer(self) -> Renderer:
        """The model's tokenizer and template."""
        return self._renderer

    @property
    def budget(self) -> Budget | None:
        """See ``ChatEmbedder.budget``."""
        limit = self._renderer.context
        return Budget(tokenizer=self._renderer, max_prompt_tokens=limit) if limit else None

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """See ``Embedder.embed``."""
        context = self._renderer.context
        room = None if context is None else context - 1
        if room is not None:
            texts = [beginning(text, room, lambda start: len(self._ids(start))) for text in texts]
        return self._embedded([self._ids(text)[:room] + self._end for text in texts])

    def embed_as(
        self, role: Role, texts: Sequence[str], *, prompt: str | None = None
    ) -> NDArray[np.float32]:
        """See ``RoleEmbedder.embed_as``."""
        own = self._prompts[role] if prompt is None else prompt
        return self.embed([own + text for text in texts])

    def embed_chats(self, chats: Sequence[Sequence[ChatMessage]]) -> NDArray[np.float32]:
        """See ``ChatEmbedder.embed_chats``."""
        rows: list[list[int]] = []
        for prompt in self._renderer.prompts(chats, room=0):
            if isinstance(prompt, BackendError):
                raise prompt
            rows.append(prompt)
        return self._embedded(rows)

    def _ids(self, text: str) -> list[int]:
        ids: list[int] = self._renderer.tokenizer.encode(
            text, add_special_tokens=False, verbose=False
        )
        return ids

    def _embedded(self, rows: Sequence[list[int]]) -> NDArray[np.float32]:
        import torch

        batches: list[list[int]] = []
        for i in sorted(range(len(rows)), key=lambda i: len(rows[i])):
            # The longest of its batch, by the sorting.
            if not batches or (len(batches[-1]) + 1) * len(rows[i]) > self._max_batch_tokens:
                batches.append([])
            batches[-1].append(i)
        found: list[Tensor | None] = [None] * len(rows)
        for batch in batches:
            with backend_boundary(f"transformers, on {len(batch)} texts"):
                for i, vector in zip(batch, self._last([rows[i] for i in batch]), strict=True):
                    found[i] = vector
        vectors: NDArray[np.float32] = torch.stack([v for v in found if v is not None]).numpy()
        return vectors

    def _last(self, rows: Sequence[list[int]]) -> Tensor:
        import torch

        width = max(map(len, rows))
        # Padded behind: with causal attention a token does not see what follows it.
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
        ends = torch.tensor([len(row) - 1 for row in rows])
        with torch.inference_mode():
            hidden = self._model(ids.to(self._model.device), use_cache=False).last_hidden_state
        last: Tensor = hidden[torch.arange(len(rows)), ends.to(hidden.device)].float().cpu()
        return last
