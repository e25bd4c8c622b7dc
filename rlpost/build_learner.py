"""Building a learner from plain, picklable settings, in the process that will own it.

Importing this loads no torch, so that a driver can hand the function and its settings to a worker.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rlpost.lora import LoraSettings, add_lora
from rlpost.optim import OptimSettings

if TYPE_CHECKING:
    from rlpost.choice import Choice
    from rlpost.learner import TorchLearner
    from rlpost.models import Dtype


def build_learner(
    *,
    model_path: str,
    dtype: Dtype,
    lora: LoraSettings,
    seed: int,
    credit: Choice,
    objective: Choice,
    aggregation: Choice,
    optim: OptimSettings,
    tokens_per_batch: int,
    temperature: float,
    transforms: Sequence[Choice] = (),
    mask_truncated: bool = False,
    correction: Choice | None = None,
    kl: Choice | None = None,
    shaping: Choice | None = None,
    epochs: int = 1,
    minibatches: int = 1,
) -> TorchLearner:
    """A learner at version 0: the base model with adapters that do not change it yet.

    ``seed`` draws the adapters and starts torch's generator. The model goes to the first CUDA
    device where there is one. Raises UserError for a model, target modules or an algorithm that do
    not exist.
    """
    import torch

    from rlpost.algorithm import algorithm
    from rlpost.learner import TorchLearner
    from rlpost.models import load_base

    chosen = algorithm(
        credit=credit,
        objective=objective,
        aggregation=aggregation,
        transforms=transforms,
        mask_truncated=mask_truncated,
        correction=correction,
        kl=kl,
        shaping=shaping,
    )
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    base = load_base(model_path, dtype)
    base.to(torch.device(device))  # type: ignore[arg-type]  # transformers wraps it untyped
    model = add_lora(base, lora, seed=seed)
    return TorchLearner(
        model,
        algorithm=chosen,
        optim=optim,
        tokens_per_batch=tokens_per_batch,
        temperature=temperature,
        epochs=epochs,
        minibatches=minibatches,
    )
