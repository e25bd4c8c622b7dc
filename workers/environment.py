"""Environment variables that must be set before Ray and torch are first imported."""

from __future__ import annotations

import os
import secrets

THREADS = {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1", "TOKENIZERS_PARALLELISM": "false"}
"""More threads than CPUs can be ten times slower than one."""
PLAIN_LOGS = {"RAY_DEDUP_LOGS": "0", "RAY_COLOR_PREFIX": "0"}
"""Every line that Ray passes on, as it was written."""


def prepare_environment(address: str | None) -> None:
    """Set what is not set yet; the Ray at ``address`` (None: our own) decides about authentication.

    A Ray of our own gets a token of its own. Ray reads both variables when it is imported, and its
    default would leave a token in the home directory, which later commands then stumble on.
    """
    for name, value in (THREADS | PLAIN_LOGS).items():
        os.environ.setdefault(name, value)
    own = address is None and "RAY_ADDRESS" not in os.environ
    if own and "RAY_AUTH_MODE" not in os.environ:
        os.environ.update(RAY_AUTH_MODE="token", RAY_AUTH_TOKEN=secrets.token_hex(32))
