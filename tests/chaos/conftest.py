"""The chaos tests use the local Ray of the actor tests."""

from tests.workers.conftest import local_ray

__all__ = ["local_ray"]
