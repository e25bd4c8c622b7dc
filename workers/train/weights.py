"""The way of the weights: published folders, the canary after each load, pruning of old ones."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from rlpost.errors import TrainingError
from rlpost.weights.canary import CanaryReport, check_policy
from rlpost.weights.publish import published_policies
from workers.train.learner import Published
from workers.train.spec import CanarySpec, Emit


@dataclass(frozen=True, slots=True)
class _Said:
    """Stands in for an engine or learner that has given its scores already."""

    scores_T: Sequence[float]

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        return list(self.scores_T)


class Canary:
    """Checks each worker after each load: the learner's scores, changed when those changed."""

    def __init__(self, spec: CanarySpec | None, *, emit: Emit) -> None:
        self._spec, self._emit = spec, emit
        self._previous: dict[str, CanaryReport] = {}

    def check(self, worker: str, published: Published, engine_T: Sequence[float]) -> None:
        """Raises TrainingError when the published weights did not reach the sampler."""
        if self._spec is None:
            return
        version = published.policy.version
        try:
            report = check_policy(
                _Said(engine_T),
                _Said(published.canary_T),
                self._spec.prompt_ids,
                self._spec.completion_ids,
                tolerance=self._spec.tolerance,
                previous=self._previous.get(worker),
                alone_T=published.alone_T,
            )
        except TrainingError as error:
            self._emit("canary_failed", worker=worker, version=version, why=str(error))
            raise
        self._previous[worker] = report
        self._emit("canary_passed", worker=worker, version=version, gap=report.gap)

    def forget(self, worker: str) -> None:
        """The worker is a new process: it has no previous policy."""
        self._previous.pop(worker, None)


def prune(policies: Path, *, newest: int, keep: int) -> None:
    """Delete the folders of all policies older than the ``keep`` newest."""
    for version, folder in published_policies(policies):
        if version <= newest - keep:
            shutil.rmtree(folder, ignore_errors=True)


def clear(policies: Path) -> None:
    """Delete every published policy: the engines that knew their names are gone."""
    for _, folder in published_policies(policies):
        shutil.rmtree(folder)
