"""The student that is a bi-encoder: E2Rank, on the token rows of a whole step."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import Parameter

from rankers.errors import UserError
from rankers.files.modes import open_alike
from rankers.methods.e2rank import e2rank_messages
from rankers.training.losses import e2rank_joint
from rlpost.distill.config import E2RankStudent
from rlpost.distill.lists import TeacherList
from rlpost.models.encoder import Encoder
from rlpost.models.encoder_rows import Row
from rlpost.models.loading import Dtype
from rlpost.weights.lora import LoraSettings, add_lora
from rlpost.weights.publish import write_adapter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


class EmbeddingStudent:
    """Learns from all lists of a step at once: every other document is a negative of a query."""

    def __init__(
        self,
        model_path: str | Path,
        *,
        recipe: E2RankStudent,
        tokenizer: PreTrainedTokenizerBase,
        lora: LoraSettings | None,
        dtype: Dtype,
        seed: int,
        max_length: int,
    ) -> None:
        self._recipe, self._tokenizer, self._max_length = recipe, tokenizer, max_length
        self._encoder = Encoder(model_path, dtype=dtype)
        query, passage = self._encoder.prompts
        self._encoder.set_prompts(
            query if recipe.query_prompt is None else recipe.query_prompt,
            passage if recipe.passage_prompt is None else recipe.passage_prompt,
        )
        base = self._encoder.backbone
        self._adapters = None if lora is None else add_lora(base, lora, seed=seed)

    def parameters(self) -> list[Parameter]:
        """What is trained."""
        return [p for p in self._encoder.backbone.parameters() if p.requires_grad]

    def losses(self, lists: Sequence[TeacherList]) -> Iterator[Tensor]:
        """The loss of a step, in one part. Raises UserError for a text that does not fit."""
        query_prompt, passage_prompt = self._encoder.prompts
        plain = [self._row(query_prompt + problem.query) for problem in lists]
        listwise = [
            self._row("\n".join(t["content"] for t in e2rank_messages(p.query, p.passages)))
            for p in lists
        ]
        passages = [
            self._row(passage_prompt + text) for problem in lists for text in problem.passages
        ]
        embedded_ND = self._encoder.embed([*plain, *listwise, *passages])
        num = len(lists)
        yield e2rank_joint(
            embedded_ND[:num],
            embedded_ND[num : 2 * num],
            embedded_ND[2 * num :].view(num, -1, embedded_ND.shape[1]),
            torch.tensor([problem.ranks for problem in lists], device=embedded_ND.device),
            temperature=self._recipe.temperature,
            scale=self._recipe.scale,
            factor=self._recipe.factor,
        )

    def save(self, folder: Path) -> None:
        """``folder/model``, complete and merged; with adapters, these too in ``folder/adapter``."""
        if self._adapters is not None:
            write_adapter(self._adapters, folder / "adapter")
            self._adapters.merge_and_unload()
        self._encoder.save(folder / "model")
        open_alike(folder / "model")

    def _row(self, text: str) -> Row:
        row = tuple(self._tokenizer(text, verbose=False)["input_ids"])
        if len(row) > self._max_length:
            raise UserError(
                f"a text has {len(row)} tokens and model.max_length is {self._max_length}: raise "
                "it, or lower candidates or passage_tokens"
            )
        return row
