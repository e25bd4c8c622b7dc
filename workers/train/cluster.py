"""Which Ray a run uses: the cluster it was told of, or a small one of its own on this machine."""

from __future__ import annotations

import logging
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any

import psutil
import ray

from rankers.errors import UserError, boundary
from rlpost.errors import TrainingError
from workers.signals import handler_kept
from workers.train.spec import Resources, RunSpec

LOCAL = "local"
LOCAL_OBJECT_STORE = 256 << 20
"""Bytes of shared memory: groups travel inside the calls, so little passes through the store."""

INLINE_BYTES = 2 << 20
"""Arguments and results up to this size travel inside the call: twice as fast as by the store."""
START_TRIES = 5

ActorOptions = dict[str, Any]


@contextmanager
def cluster(spec: RunSpec, *, address: str | None) -> Iterator[ActorOptions]:
    """Be connected to Ray inside; gives the options that every actor is to be made with.

    ``address`` None: the cluster of ``RAY_ADDRESS`` (set inside ``ray job submit``), else a local
    one that ends with the run. A process that is connected already stays so; other Rays on the
    machine are never touched. Raises UserError when the cluster is unreachable or too small.
    """
    address = address or os.environ.get("RAY_ADDRESS") or LOCAL
    connected = ray.is_initialized()
    if not connected:
        _connect(spec, address)
    try:
        _require(spec.resources)
        # Workers of a local cluster inherit our environment; a process prepared for another one
        # takes seconds to start.
        inherited = connected or address == LOCAL
        yield {} if inherited else {"runtime_env": {"env_vars": _environment(spec.resources)}}
    finally:
        if not connected:
            ray.shutdown()


def _connect(spec: RunSpec, address: str) -> None:
    if address != LOCAL:
        with boundary(UserError, f"connecting to Ray at {address!r}"), handler_kept():
            ray.init(address=address, namespace=f"rlpost-{spec.plan.run_id}", log_to_driver=False)
        return
    for name, value in _environment(spec.resources).items():
        os.environ.setdefault(name, value)
    start_local(num_cpus=max(os.cpu_count() or 1, _cpus(spec.resources)))


def start_local(*, num_cpus: int, log_to_driver: bool = False) -> None:
    """A Ray of our own on this machine. Ray gives its first process 30 s, so a busy machine may
    need more than one try. Raises TrainingError after the last one."""
    for _ in range(START_TRIES):
        before = set(psutil.Process().children(recursive=True))
        try:
            with handler_kept():
                ray.init(
                    address=LOCAL,
                    num_cpus=num_cpus,
                    object_store_memory=LOCAL_OBJECT_STORE,
                    include_dashboard=False,
                    log_to_driver=log_to_driver,
                    logging_level=logging.WARNING,
                    _system_config={"max_direct_call_object_size": INLINE_BYTES},
                )
            return
        except Exception as error:
            if "timed out during startup" not in str(error):
                raise
            ray.shutdown()
            # Ray forgets the processes of a start that failed.
            for process in set(psutil.Process().children(recursive=True)) - before:
                with suppress(psutil.NoSuchProcess):
                    process.kill()
    raise TrainingError(f"Ray did not start in {START_TRIES} tries: is the machine overloaded?")


def _environment(resources: Resources) -> dict[str, str]:
    """More threads than CPUs can be ten times slower than one."""
    threads = str(resources.threads)
    return {
        "OMP_NUM_THREADS": threads,
        "MKL_NUM_THREADS": threads,
        "TOKENIZERS_PARALLELISM": "false",
    }


def _cpus(resources: Resources) -> int:
    return (resources.rollout_workers + 1) * resources.threads


def _require(resources: Resources) -> None:
    """Ray would wait for ever for what a cluster does not have."""
    have: dict[str, float] = ray.cluster_resources()  # type: ignore[no-untyped-call]
    gpus = resources.rollout_workers * resources.rollout_gpus + resources.learner_gpus
    for kind, need in (("CPU", float(_cpus(resources))), ("GPU", gpus)):
        if need > have.get(kind, 0.0):
            raise UserError(
                f"the run needs {need:g} {kind}s for {resources.rollout_workers} rollout workers "
                f"and the learner, the Ray cluster has {have.get(kind, 0.0):g}: lower "
                "rollout.workers or join a larger cluster"
            )
