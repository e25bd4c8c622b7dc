"""LoRA: which settings are allowed, and wrapping a base model with freshly initialised adapters."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rlpost.errors import UserError

if TYPE_CHECKING:
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel


@dataclass(frozen=True, slots=True, kw_only=True)
class LoraSettings:
    """Plain LoRA (arXiv 2106.09685), the only kind that every engine can serve: W + (alpha / rank)
    B A.
    """

    rank: int = 16
    alpha: float = 32.0
    target_modules: Literal["all-linear"] | tuple[str, ...] = "all-linear"
    dropout: float = 0.0
    """Above 0 the learner's log-probabilities differ from the engine's by the dropped units."""


def add_lora(model: PreTrainedModel, settings: LoraSettings, *, seed: int) -> PeftModel:
    """Freeze ``model`` and add adapters drawn from ``seed``; B is zero, so the policy does not
    change yet.

    Adapters are float32 whatever the dtype of the base. Raises UserError for target modules that
    are not there.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    targets = settings.target_modules
    config = LoraConfig(
        task_type="CAUSAL_LM" if model.can_generate() else "FEATURE_EXTRACTION",
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # any number works
        lora_dropout=settings.dropout,
        target_modules=targets if targets == "all-linear" else list(targets),
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            return get_peft_model(model, config)
        except ValueError as error:
            if "target modules" not in str(error).lower():
                raise
            raise UserError(
                f"lora.target_modules {targets!r} match no layer of {type(model).__name__}: "
                "name linear layers of the model, or use all-linear"
            ) from error


def set_dropout(model: nn.Module, *, active: bool) -> None:
    """Everything in evaluation mode; the adapters' own dropout as asked.

    A base model's dropout would only push the learner's log-probabilities off the engine's.
    """
    model.eval()
    for name, module in model.named_modules():
        if name.endswith("lora_dropout"):
            module.train(active)
