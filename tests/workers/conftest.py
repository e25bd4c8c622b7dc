"""One small local Ray for all tests of the actors."""

from __future__ import annotations

from collections.abc import Iterator

import pytest


@pytest.fixture(scope="session")
def local_ray() -> Iterator[None]:
    import ray

    from workers.cluster import start_local

    start_local(num_cpus=4)
    yield
    ray.shutdown()
