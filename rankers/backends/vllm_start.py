"""Starting vLLM in this process: the settings that work, on CPU and GPU, beside other libraries."""

from __future__ import annotations

import logging
import os
import sys
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from rankers.errors import DataError

ENVIRONMENT = {
    # The engine core in this process: up in 2 s instead of 12-24, and no child to lose.
    "VLLM_ENABLE_V1_MULTIPROCESSING": "0",
    # Otherwise every engine of a machine pins itself to the same first cores.
    "VLLM_CPU_OMP_THREADS_BIND": "nobind",
    "VLLM_LOGGING_LEVEL": "ERROR",
    "VLLM_NO_USAGE_STATS": "1",
    "OMP_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    # Every batch has another number of tokens, for which oneDNN would keep a kernel each: hundreds
    # of MB over thousands of calls, and no faster.
    "ONEDNN_PRIMITIVE_CACHE_CAPACITY": "0",
}
LORA_RANKS = (1, 8, 16, 32, 64, 128, 256, 320, 512)
"""The values vLLM takes as ``max_lora_rank``."""
UNSCANNABLE = "llvmlite.binding.ffi"
"""Its library handle answers ``__dict__`` with a function, on which vLLM's scan fails."""


def import_llm() -> Any:
    """vLLM's ``LLM`` class, imported under ENVIRONMENT; what the user has set stays."""
    for name, value in ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    # About vLLM's own use of torch, and of no help to its users.
    warnings.filterwarnings("ignore", category=FutureWarning, module="vllm")
    logging.getLogger("torch._library.triton").setLevel(logging.ERROR)
    from vllm import LLM

    return LLM


def on_cpu() -> bool:
    """Whether the vLLM that is installed runs on the CPU."""
    from vllm.platforms import current_platform

    return bool(current_platform.is_cpu())


def device_settings(*, kv_cache_mb: int, gpu_memory_utilization: float) -> dict[str, Any]:
    """Arguments of ``LLM`` that depend on the device."""
    if on_cpu():
        # Compiling costs 20-30 s of start and gains little; block size 16 is refused on CPU; and
        # without a size of its own the cache would take nearly all memory.
        return {
            "enforce_eager": True,
            "block_size": 32,
            "kv_cache_memory_bytes": kv_cache_mb * 2**20,
        }
    return {"gpu_memory_utilization": gpu_memory_utilization}


def servable_rank(rank: int) -> int:
    """The smallest ``max_lora_rank`` that takes adapters of ``rank``."""
    for servable in LORA_RANKS:
        if rank <= servable:
            return servable
    raise DataError(f"LoRA rank {rank} cannot be served by vLLM: use at most {LORA_RANKS[-1]}")


@contextmanager
def scannable_modules() -> Iterator[None]:
    """Inside, every loaded module survives the scan for kernels that vLLM 0.32 starts with.

    numba, which bm25s uses, brings the one module that does not.
    """
    module = sys.modules.pop(UNSCANNABLE, None)
    try:
        yield
    finally:
        if module is not None:
            sys.modules[UNSCANNABLE] = module
