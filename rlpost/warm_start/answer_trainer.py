"""TRL's SFTTrainer with the output head at answer tokens alone: most tokens are prompt."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from trl.trainer.sft_trainer import SFTTrainer

IGNORED = -100


class AnswerTrainer(SFTTrainer):
    """Equal to SFTTrainer with completion_only_loss, up to rounding, at a fraction of the cost.

    For models whose output head is one matrix, as the learner needs it too.
    """

    def compute_loss(
        self,
        model: Any,
        inputs: dict[str, Tensor],
        return_outputs: bool = False,
        num_items_in_batch: Tensor | int | None = None,
    ) -> Tensor:
        """Mean cross-entropy of the answers' tokens, in nats."""
        causal: Any = self.model
        targets = inputs["labels"][:, 1:]
        learned = targets != IGNORED
        decoded = causal.base_model(
            input_ids=inputs["input_ids"], attention_mask=inputs["attention_mask"], use_cache=False
        )
        logits = causal.get_output_embeddings()(decoded.last_hidden_state[:, :-1][learned])
        total = torch.nn.functional.cross_entropy(logits.float(), targets[learned], reduction="sum")
        return total / (learned.sum() if num_items_in_batch is None else num_items_in_batch)
