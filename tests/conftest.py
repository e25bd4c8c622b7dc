"""Order of the tests (fast ones first) and what is skipped where a part is not installed."""

import importlib.util
import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.tiny_model import tiny_model_dir

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("RAY_AUTH_MODE", "disabled")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")

COST = ("slow", "ray", "vllm", "gpu")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Sort by cost, keeping the order inside a class; skip what this machine cannot run."""
    items.sort(key=lambda item: sum(item.get_closest_marker(mark) is not None for mark in COST))
    lacks_vllm = importlib.util.find_spec("vllm") is None
    for item in items:
        if lacks_vllm and item.get_closest_marker("vllm"):
            item.add_marker(pytest.mark.skip(reason="vLLM is not installed"))
        if item.get_closest_marker("gpu") and not cuda():
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))


def cuda() -> bool:
    """Whether torch sees a CUDA device; imports torch, so asked for marked tests only."""
    import torch

    return torch.cuda.is_available()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the random tiny model; read only."""
    return tiny_model_dir(tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    """One small Ray for all tests of actors."""
    import ray

    from workers.train.cluster import start_local

    start_local(num_cpus=4)
    yield
    ray.shutdown()
