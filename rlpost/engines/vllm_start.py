"""Starting vLLM in a process where other libraries are loaded already."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager

UNSCANNABLE = "llvmlite.binding.ffi"
"""Its library handle answers ``__dict__`` with a function, on which vLLM's scan fails."""


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
