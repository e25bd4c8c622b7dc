"""What the learner makes of an architecture: the row of the table that the docs show."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, NamedTuple, cast

from rankers.errors import UserError

if TYPE_CHECKING:
    from transformers import PreTrainedModel

HEADING = "| model type | rows | head | why not packed |\n|---|---|---|---|"


class Row(NamedTuple):
    """How one architecture is trained; ``gap`` is in nats, against transformers alone."""

    kind: str
    rows: str
    head: str
    why: str
    gap: float

    def markdown(self) -> str:
        """The row of the docs, without figures that depend on random weights and rounding."""
        why = re.sub(r" \(.*\)$| by up to .* nats$", "", self.why)
        return f"| `{self.kind}` | {self.rows} | {self.head} | {why} |"


def examined(kind: str, model: PreTrainedModel) -> Row:
    """The row of ``model``; float32 weights, on two siblings and another prompt."""
    import torch

    from rlpost.learner.decoder import CausalLM
    from rlpost.learner.packed_policy import PackedPolicy
    from rlpost.learner.probe import probe

    try:
        policy = PackedPolicy(cast(CausalLM, model))
    except UserError as error:
        return Row(kind, "refused", "", str(error), 0.0)
    head = policy.head
    batch = probe(head.module.weight.shape[0], device=policy.device)
    with torch.no_grad():
        logprobs_T, _ = policy.logprobs(batch, temperature=1.0)
        gap = float((logprobs_T - policy.alone(batch)).abs().max())
    layout = policy.layout
    until = "" if layout.longest is None else f" to {layout.longest} tokens, then {layout.beyond}"
    parts = [
        "bias" if head.module.bias is not None else "",
        f"x {head.shape.scale:.4g}" if head.shape.scale != 1.0 else "",
        f"cap {head.shape.soft_cap:g}" if head.shape.soft_cap is not None else "",
    ]
    told = " ".join(part for part in parts if part) or "matrix"
    return Row(kind, f"{layout.rows}{until}", told, policy.why_not_packed, gap)
