"""LoRA: which settings are allowed, and wrapping a base model with freshly initialised adapters."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from rankers.errors import UserError

if TYPE_CHECKING:
    import torch
    from peft import PeftModel
    from torch import nn
    from transformers import PreTrainedModel

    from rlpost.weights.adapter_files import Adapter

NOT_LINEAR = re.compile(
    r"embed_tokens|embed_in|embed_positions|embeddings?|tok_embeddings|word(_token)?_embeddings"
    r"|position_embeddings|w[tp]e|ln_\w+|(\w*_)?(layer)?norm\d*|conv1d|lm_head|embed_out"
)
"""Names of embeddings, norms, convolutions and output heads in the models of transformers."""

MIXED = frozenset({"gate", "gate_proj", "up_proj", "down_proj", "w1", "w2", "w3"})
"""Names that PEFT takes for those of experts, which are no layers, where a model has experts."""

UNCALLED = {
    "falcon_h1": "out_proj",
    "falcon_mamba": "out_proj",
    "mamba": "out_proj",
    "mamba2": "out_proj",
    "nemotron_h": "out_proj",
}
"""Kinds of models whose fused kernels read that layer's weight past its adapter."""

SHOWN = 12
"""Names of layers in an error message at most."""


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


def unservable_names(targets: Sequence[str]) -> str | None:
    """What is wrong with ``target_modules`` whatever the model; None when nothing is."""
    if not targets:
        return "lora.target_modules is empty: name linear layers of the model, or use all-linear"
    wrong = [name for name in targets if NOT_LINEAR.fullmatch(name.rsplit(".", 1)[-1])]
    if not wrong:
        return None
    return (
        f"lora.target_modules names {', '.join(wrong)}: embeddings, norms and output heads cannot "
        "be served as LoRA; name linear layers (q_proj, v_proj, ...), or use all-linear"
    )


def add_lora(model: PreTrainedModel, settings: LoraSettings, *, seed: int) -> PeftModel:
    """Freeze ``model`` and add adapters drawn from ``seed``; B is zero, so the policy does not
    change yet.

    Adapters are float32 whatever the dtype of the base. Raises UserError for target modules that
    are not there, or that are no linear layers: an engine could not serve them.
    """
    import torch
    from peft import LoraConfig, get_peft_model

    targets = settings.target_modules
    linear = linear_layers(model)
    chosen = linear if targets == "all-linear" else list(targets)
    if targets != "all-linear":
        _check_targets(model, targets, linear)
    elif not chosen:
        raise UserError(
            f"{type(model).__name__} has no linear layers that could be served as LoRA: "
            "use another model"
        )
    config = LoraConfig(
        task_type="CAUSAL_LM" if model.can_generate() else "FEATURE_EXTRACTION",
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type]  # any number works
        lora_dropout=settings.dropout,
        target_modules=chosen,
    )
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        try:
            wrapped = get_peft_model(model, config)
        except ValueError as error:
            reason = " ".join(str(error).split())
            raise UserError(f"lora.target_modules {targets!r}: {reason}") from error
    _check_wrapped(wrapped, linear)
    return wrapped


def linear_layers(model: PreTrainedModel) -> list[str]:
    """Names of the layers that an engine can serve with LoRA: linear ones, but for the head."""
    from torch import nn

    head = model.get_output_embeddings()  # type: ignore[no-untyped-call]
    has_experts = any(p.dim() == 3 and "conv" not in n for n, p in model.named_parameters())
    left_out = MIXED if has_experts else frozenset()
    left_out = left_out | {UNCALLED.get(model.config.model_type, "")}
    return [
        name
        for name, module in model.named_modules()
        # Routers of experts are linear layers that answer with more than a product.
        if isinstance(module, nn.Linear)
        and type(module).forward is nn.Linear.forward
        and module is not head
        and name.rsplit(".", 1)[-1] not in left_out
    ]


def _check_targets(model: PreTrainedModel, targets: Sequence[str], linear: Sequence[str]) -> None:
    if problem := unservable_names(targets):
        raise UserError(problem)
    modules = dict(model.named_modules())
    for target in targets:
        matched = [n for n in modules if n == target or n.endswith(f".{target}")]
        odd = [name for name in matched if name not in set(linear)]
        if not matched:
            raise UserError(
                f"lora.target_modules {target!r} match no layer of {type(model).__name__}: "
                f"name linear layers of the model ({_endings(linear)}), or use all-linear"
            )
        if odd:
            raise UserError(
                f"lora.target_modules {target!r} matches {odd[0]}, a {_kind(modules[odd[0]])} that "
                f"cannot be served as LoRA: name linear layers ({_endings(linear)}), or use "
                "all-linear"
            )


def _check_wrapped(model: PeftModel, linear: Sequence[str]) -> None:
    """PEFT follows names of its own for some models."""
    wrapped = [
        (name, module)
        for name, module in model.get_base_model().named_modules()
        if hasattr(module, "lora_A")
    ]
    odd = [name for name, _ in wrapped if name not in set(linear)]
    if odd:
        raise UserError(
            f"lora.target_modules puts an adapter on {odd[0]}, which cannot be served as LoRA: "
            f"name linear layers ({_endings(linear)}), or use all-linear"
        )


def _endings(names: Iterable[str]) -> str:
    endings = list(dict.fromkeys(name.rsplit(".", 1)[-1] for name in names))
    return (
        ", ".join([*endings[:SHOWN], *(["..."] if len(endings) > SHOWN else [])]) or "it has none"
    )


def _kind(module: nn.Module) -> str:
    return type(module).__name__


def set_dropout(model: nn.Module, *, active: bool) -> None:
    """Everything in evaluation mode; the adapters' own dropout as asked.

    A base model's dropout would only push the learner's log-probabilities off the engine's.
    """
    model.eval()
    for name, module in model.named_modules():
        if name.endswith("lora_dropout"):
            module.train(active)


def merged(
    base: Mapping[str, torch.Tensor], adapter: Adapter
) -> Iterator[tuple[str, torch.Tensor]]:
    """Every weight of ``base`` (fp32, under checkpoint names), with the adapter's change added.

    Merging into bf16, or on top of an earlier merge, would round RL-sized changes away: a change of
    1e-4 per entry keeps a relative error of 0.9.
    """
    changed = {f"{module}.weight": pair for module, pair in adapter.pairs.items()}
    for name, weight in base.items():
        pair = changed.get(name)
        yield name, weight if pair is None else weight + adapter.scale * (pair.B @ pair.A)
