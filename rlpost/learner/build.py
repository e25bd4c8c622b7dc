"""Building a learner from plain, picklable settings, in the process that will own it.

Importing this loads no torch, so that a driver can hand the function and its settings to a worker.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Unpack

from rlpost.learner.choices import Choices
from rlpost.learner.optim import OptimSettings
from rlpost.weights.lora import LoraSettings, add_lora

if TYPE_CHECKING:
    from rlpost.learner.data_parallel import Ranks
    from rlpost.learner.learner import TorchLearner
    from rlpost.models.loading import Dtype


def build_learner(
    *,
    model_path: str,
    dtype: Dtype,
    lora: LoraSettings,
    seed: int,
    optim: OptimSettings,
    tokens_per_batch: int,
    temperature: float,
    epochs: int = 1,
    minibatches: int = 1,
    uplift_every: int = 0,
    diagnostics_every: int = 0,
    score_scale: float | None = None,
    ranks: Ranks | None = None,
    **choices: Unpack[Choices],
) -> TorchLearner:
    """A learner at version 0: the base model with adapters that do not change it yet.

    ``seed`` draws the adapters and starts torch's generator. The model goes to the first CUDA
    device where there is one. With a ``score_scale`` the model is a bi-encoder, and the policy
    Plackett-Luce on that times its cosines. Raises UserError for a model, target modules or an
    algorithm that do not exist.
    """
    import torch

    from rlpost.learner.algorithm import algorithm
    from rlpost.learner.learner import TorchLearner
    from rlpost.learner.packed_policy import Policy
    from rlpost.models.loading import load_base

    chosen = algorithm(**choices)
    device = "cuda" if torch.cuda.is_available() else "cpu"
    torch.manual_seed(seed)
    policy: Policy | None = None
    if score_scale is None:
        base = load_base(model_path, dtype)
    else:
        from rlpost.learner.encoder_policy import EncoderPolicy
        from rlpost.models.encoder import Encoder

        encoder = Encoder(model_path, dtype=dtype)
        base, policy = encoder.backbone, EncoderPolicy(encoder, scale=score_scale)
    base.to(torch.device(device))  # type: ignore[arg-type]  # transformers wraps it untyped
    model = add_lora(base, lora, seed=seed)
    return TorchLearner(
        model,
        policy=policy,
        algorithm=chosen,
        optim=optim,
        tokens_per_batch=tokens_per_batch,
        temperature=temperature,
        epochs=epochs,
        minibatches=minibatches,
        uplift_every=uplift_every,
        diagnostics_every=diagnostics_every,
        ranks=ranks,
    )
