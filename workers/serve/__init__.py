"""The server on Ray Serve: `rlpost serve --replicas`, and what `serve deploy` imports."""

from __future__ import annotations

import logging
import math
import os
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ray
from ray import serve
from ray.serve.config import HTTPOptions, ProxyLocation
from ray.serve.schema import ApplicationStatus, LoggingConfig

from rankers.errors import BackendError
from rankers.methods.by_name import build_reranker
from rankers.serve.engine import messages
from rankers.serve.http.auth import accepted_keys
from rankers.serve.http.server import AFTER_DEADLINE_S, listening
from rankers.serve.run import greeting
from rankers.serve.settings import Settings
from rlpost.interrupt import StopRequest, stop_on_signal
from rlpost.serving.specs import settings_from
from workers.serve.replica import Replica
from workers.train.cluster import start_local

NAME = "rlpost"
"""Of the application."""
DEPLOYMENT = "reranker"
"""Of its only deployment: what a Serve config gives the number of replicas for."""
LOOK_S = 0.2
STARTS = 3
"""Of a replica that cannot load, before the application is given up."""
QUIET = LoggingConfig(log_level="ERROR", enable_access_log=False)
"""Our own log has a line for each request."""


def app(args: Mapping[str, Any]) -> serve.Application:
    """For ``import_path: workers.serve:app``; ``args`` are the keys of a serving file, or
    ``config``, the path of one, and keys that go before its own, sections as a whole.

    Host and port are those of Ray Serve. Raises UserError naming every mistake.
    """
    given = dict(args)
    config = given.pop("config", None)
    return application(settings_from(Path(config) if config else None, given, []))


def application(
    settings: Settings, *, build: messages.Build = build_reranker, **options: Any
) -> serve.Application:
    """``settings`` as an application of Ray Serve, with more ``options`` of its deployment.

    A replica takes more requests than its queue has room for: it answers 429 itself, and health
    checks get through. What is too much for all replicas together is answered 429 by Ray Serve.
    """
    limits = settings.limits
    deployed = serve.deployment(
        name=DEPLOYMENT,
        max_ongoing_requests=2 * limits.queue_jobs,
        max_queued_requests=limits.queue_jobs,
        backpressure_config={"status_code": 429, "retry_after_s": 1},
        graceful_shutdown_timeout_s=limits.deadline_s + AFTER_DEADLINE_S,
        max_constructor_retry_count=STARTS,
        **options,
    )
    return deployed(Replica).bind(settings, build)


def serve_replicas(settings: Settings, *, replicas: int) -> None:
    """Serve from ``replicas`` engines on this machine until SIGTERM or Ctrl-C; says where.

    The GPUs are shared out evenly. Raises RankerError, one sentence, for bad keys, a taken address
    and a model that cannot be loaded; KeyboardInterrupt while loading.
    """
    keys = accepted_keys(settings, os.environ)
    with listening(settings) as sock:
        port: int = sock.getsockname()[1]
    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    names = ", ".join(model.name for model in settings.models)
    print(f"loading {names} in {replicas} replicas", file=sys.stderr)
    start_local(num_cpus=max(os.cpu_count() or 1, replicas), log_to_driver=True)
    with stop_on_signal() as stop:  # Ray has put up its own handlers by now
        try:
            _start(settings, port, replicas)
            _await_running(stop)
            infos = serve.get_app_handle(NAME).infos.remote().result()
            print(greeting(infos, settings.host, port, keys=bool(keys)), flush=True)
            while not stop.requested:
                time.sleep(LOOK_S)
            _drain(settings.limits.deadline_s + AFTER_DEADLINE_S)
        finally:
            serve.shutdown()  # type: ignore[no-untyped-call]
            ray.shutdown()


def gpus_each(gpus: float, replicas: int) -> float:
    """The share of a GPU, or a whole one, so that all replicas fit: none where there is none."""
    return 1 / math.ceil(replicas / gpus) if gpus else 0.0


def _start(settings: Settings, port: int, replicas: int) -> None:
    gpus: float = ray.cluster_resources().get("GPU", 0.0)  # type: ignore[no-untyped-call]
    target = application(
        settings,
        num_replicas=replicas,
        ray_actor_options={"num_cpus": 1, "num_gpus": gpus_each(gpus, replicas)},
    )
    serve.start(
        proxy_location=ProxyLocation.HeadOnly,
        http_options=HTTPOptions(host=settings.host, port=port),
        logging_config=QUIET,
    )
    serve.run_many(
        [serve.RunTarget(target=target, name=NAME, route_prefix="/", logging_config=QUIET)],
        wait_for_applications_running=False,
    )


def _await_running(stop: StopRequest) -> None:
    """Until every replica has loaded. Raises BackendError where one cannot."""
    while True:
        told = serve.status().applications[NAME]
        if told.status == ApplicationStatus.RUNNING:
            return
        if told.status in (ApplicationStatus.DEPLOY_FAILED, ApplicationStatus.UNHEALTHY):
            _, _, reason = told.deployments[DEPLOYMENT].message.rstrip().rpartition("\n")
            raise BackendError(f"the replicas cannot load: {reason}")  # the end of a traceback
        stop.raise_if_requested()
        time.sleep(LOOK_S)


def _drain(within_s: float) -> None:
    """No more requests, and the end of those under way. Their proxy ends only afterwards."""
    serve.delete(NAME, _blocking=False)
    until = time.monotonic() + within_s
    while NAME in serve.status().applications and time.monotonic() < until:
        time.sleep(LOOK_S)
