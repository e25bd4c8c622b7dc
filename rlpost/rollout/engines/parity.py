"""Does an engine agree with the reference? The comparison that tests and the parity bench share."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlpost.models.loading import load_base
from rlpost.types import Completion, PolicyRef, Prompt
from rlpost.weights.adapter_files import write_manifest
from rlpost.weights.canary import Scorer


@dataclass(frozen=True, slots=True, kw_only=True)
class Parity:
    """Differences, in nats, between the log-probabilities of the same tokens."""

    num_tokens: int
    mean: float
    max: float


def compare_engines(
    prompts_P: Sequence[Prompt],
    completions_P_G: Sequence[Sequence[Completion]],
    reference: Scorer,
) -> Parity:
    """Log-probabilities that came with completions sampled at temperature 1 (or greedily), against
    the reference's own."""
    gaps = [
        abs(got - want)
        for prompt, completions_G in zip(prompts_P, completions_P_G, strict=True)
        for completion in completions_G
        for got, want in zip(
            completion.logprobs_T,
            reference.score(prompt.token_ids, completion.token_ids),
            strict=True,
        )
    ]
    return Parity(num_tokens=len(gaps), mean=sum(gaps) / len(gaps), max=max(gaps))


def random_policy(
    model_path: str | Path, root: Path, *, version: int, rank: int = 8, scale: float = 0.1
) -> PolicyRef:
    """Publish a policy whose every linear layer is visibly changed, drawn from ``version``."""
    import torch
    from peft import LoraConfig, get_peft_model

    with torch.random.fork_rng():
        torch.manual_seed(version)
        settings = LoraConfig(r=rank, lora_alpha=2 * rank, target_modules="all-linear")
        model = get_peft_model(load_base(model_path, "float32"), settings)
        for name, parameter in model.named_parameters():
            if "lora_" in name:
                torch.nn.init.normal_(parameter, std=scale)
    policy = PolicyRef(version=version, path=root / f"policy-v{version}")
    model.save_pretrained(str(policy.path), save_embedding_layers=False)
    write_manifest(policy.path, version=version, base_model=str(model_path))
    return policy
