"""What a learner must remember to continue bit for bit: adapter, optimizer, counters, random
generators.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from rankers.files.atomic import disk_trouble
from rlpost.errors import CheckpointError
from rlpost.learner import rng
from rlpost.weights.publish import ADAPTER, write_adapter

if TYPE_CHECKING:
    from peft import PeftModel

STATE = "learner.pt"


def save_state(
    folder: Path,
    *,
    model: PeftModel,
    optimizer: torch.optim.Optimizer,
    counters: Mapping[str, int],
    memory: Mapping[str, Mapping[str, float]],
) -> None:
    """Write ``folder/adapter`` (PEFT format, loads in peft and vLLM as it is) and
    ``folder/learner.pt``; ``memory`` is what parts of the algorithm must remember.
    """
    with disk_trouble(folder):
        (folder / ADAPTER).mkdir()
        write_adapter(model, folder / ADAPTER)
        state = {
            "optimizer": optimizer.state_dict(),
            "counters": dict(counters),
            "memory": {part: dict(values) for part, values in memory.items()},
            "rng": rng.capture(),
        }
        torch.save(state, folder / STATE)


def load_state(
    folder: Path,
    *,
    model: PeftModel,
    optimizer: torch.optim.Optimizer,
    remembering: Collection[str],
) -> tuple[dict[str, int], dict[str, dict[str, float]]]:
    """Put everything back and return the counters and the memory of the algorithm's parts.

    Raises CheckpointError, before anything changes, when files are missing or belong to another
    model, or to an algorithm with other parts than those ``remembering``.
    """
    from peft import get_peft_model_state_dict, set_peft_model_state_dict
    from safetensors.torch import load_file

    try:
        weights = load_file(folder / ADAPTER / "adapter_model.safetensors")
        state: dict[str, Any] = torch.load(folder / STATE, map_location="cpu", weights_only=True)
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"{folder} is not a complete learner checkpoint: {error}") from error
    ours = {name: tensor.shape for name, tensor in get_peft_model_state_dict(model).items()}
    theirs = {name: tensor.shape for name, tensor in weights.items()}
    if ours != theirs:
        other = sorted(set(ours.items()) ^ set(theirs.items()))[0][0]
        raise CheckpointError(
            f"{folder} was saved with another model or other LoRA settings: they differ in {other}"
        )
    if set(state["memory"]) != set(remembering):
        raise CheckpointError(
            f"{folder} remembers {sorted(state['memory'])} of its algorithm, this one has "
            f"{sorted(remembering)}: resume with the algorithm it was saved with"
        )
    set_peft_model_state_dict(model, weights)
    optimizer.load_state_dict(state["optimizer"])
    rng.reinstate(state["rng"])
    return state["counters"], state["memory"]
