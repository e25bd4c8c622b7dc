"""A bi-encoder as a policy's network: a sentence-transformers model on rows of token ids."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from rankers.backends.sentence_load import load_sentence_model
from rankers.errors import UserError
from rankers.model_path import resolve
from rlpost.models.encoder_rows import Row
from rlpost.models.loading import Dtype

if TYPE_CHECKING:
    from transformers import PreTrainedModel

TOKENS_PER_FORWARD = 4096
"""Bound of one forward pass, padding included: larger ones gain nothing on CPU."""


class Encoder:
    """Embeds rows of token ids with all modules of a sentence-transformers model but dropout."""

    def __init__(self, model_path: str | Path, *, dtype: Dtype = "float32") -> None:
        """UserError or DataError when the folder is no whole sentence-transformers model."""
        folder = resolve(model_path)
        if not (folder / "modules.json").is_file():
            raise UserError(
                f"{model_path} has no modules.json: name the folder of a sentence-transformers "
                "model, such as all-MiniLM-L6-v2"
            )
        self._model: Any = load_sentence_model(
            "SentenceTransformer", folder, device="cpu", dtype=dtype
        )

        self._refuse_hidden_prompts(str(model_path))

    @property
    def prompts(self) -> tuple[str, str]:
        """The model's own, before a query and before a passage."""
        return self._model.prompts.get("query") or "", self._model.prompts.get("document") or ""

    def set_prompts(self, query: str, passage: str) -> None:
        """Other prompts, to be saved with the model: who loads it reads what it was trained on."""
        self._model.prompts |= {"query": query, "document": passage}

    @property
    def backbone(self) -> PreTrainedModel:
        """The transformer inside; adapters that are put onto it take part in ``embed``."""
        return cast("PreTrainedModel", self._model[0].model)

    @property
    def device(self) -> torch.device:
        return self.backbone.device

    def save(self, folder: Path) -> None:
        """Write the model as sentence-transformers does; merge adapters first."""
        self._model.save(str(folder), create_model_card=False)

    def embed(self, rows: Sequence[Row]) -> Tensor:
        """Embeddings [N, D] of unit length, in float32; batches hold rows of similar length."""
        order = sorted(range(len(rows)), key=lambda i: len(rows[i]))
        parts = [self._forward([rows[i] for i in batch]) for batch in _batches(order, rows)]
        places = torch.empty(len(rows), dtype=torch.int64)
        places[order] = torch.arange(len(rows))
        embedded_ND = torch.cat(parts)[places.to(self.device)]
        return torch.nn.functional.normalize(embedded_ND.float(), dim=1)

    def _refuse_hidden_prompts(self, name: str) -> None:
        hidden = any(not getattr(module, "include_prompt", True) for module in self._model)
        if hidden and any(self.prompts):
            raise UserError(
                f"{name} leaves its prompts out of the pooling, which rows of tokens do not show: "
                "take a model that pools over all tokens"
            )

    def _forward(self, rows: Sequence[Row]) -> Tensor:
        width = max(map(len, rows))
        ids = torch.tensor([[*row, *[0] * (width - len(row))] for row in rows])
        mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
        features = {
            "input_ids": ids.to(self.device),
            "attention_mask": mask.to(self.device),
        }
        embedded: Tensor = self._model(features)["sentence_embedding"]
        return embedded


def _batches(order: Sequence[int], rows: Sequence[Row]) -> Iterator[list[int]]:
    """Indices by ascending length, cut where the next row would burst the token bound."""
    batch: list[int] = []
    for i in order:
        if batch and (len(batch) + 1) * len(rows[i]) > TOKENS_PER_FORWARD:
            yield batch
            batch = []
        batch.append(i)
    yield batch
