"""The state of this process's random generators, as plain values that a checkpoint can hold."""

from __future__ import annotations

import random
from typing import Any, cast

import numpy as np
import torch
from numpy.typing import NDArray


def capture() -> dict[str, Any]:
    """State of python's, numpy's and torch's generators; tensors, numbers and strings only."""
    version, internal, gauss = random.getstate()
    kind, keys, position, has_gauss, cached = cast(
        tuple[str, NDArray[np.uint32], int, int, float], np.random.get_state(legacy=True)
    )
    return {
        "python": [version, list(internal), gauss],
        "numpy": [kind, torch.from_numpy(keys.astype(np.int64)), position, has_gauss, cached],
        "torch": torch.get_rng_state(),
        "cuda": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
    }


def reinstate(state: dict[str, Any]) -> None:
    """Continue the streams that ``capture`` saw."""
    version, internal, gauss = state["python"]
    random.setstate((version, tuple(internal), gauss))
    kind, keys, position, has_gauss, cached = state["numpy"]
    np.random.set_state((kind, keys.numpy().astype(np.uint32), position, has_gauss, cached))
    torch.set_rng_state(state["torch"])
    if state["cuda"]:
        torch.cuda.set_rng_state_all(state["cuda"])
