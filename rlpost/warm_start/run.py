"""The model that RL starts from: warm-started on the task's own prompts, cached by content."""

from __future__ import annotations

import multiprocessing
import os
import signal
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any

from rankers.files.atomic import published_folder
from rankers.files.cache import cache_trouble, content_key, default_cache_dir
from rankers.files.digests import folder_digests
from rankers.model_path import resolve
from rlpost.config.run import RunConfig
from rlpost.errors import TrainingError
from rlpost.tasks.base import PreparedTask
from rlpost.warm_start.example import SftExample

FORMAT = 3  # part of the cache key: raise it when what is cached changes


def warmed_model(cfg: RunConfig, prepared: PreparedTask, *, say: Callable[[str], None]) -> Path:
    """Folder of the model after ``model.warm_start``; the model itself where that has no steps.

    Runs in a process of its own, so that its memory is returned before RL begins.
    """
    base = resolve(cfg.model.path)
    warm = cfg.model.warm_start
    if warm.steps == 0:
        return base
    examples = examples_of(prepared, count=warm.steps * warm.batch_size)
    settings = (FORMAT, cfg.seed, warm.model_dump_json())
    texts = ((e.prompt_ids, e.answer) for e in examples)
    files = sorted(folder_digests(base).items())
    target = default_cache_dir() / "warm-start" / content_key([*settings, *files, *texts])
    with cache_trouble(target.parent):
        if target.is_dir():
            return target
    say(f"warm start: {warm.steps} supervised steps of {warm.batch_size} problems")
    with published_folder(target) as folder:
        _in_own_process(base, examples, folder, cfg, say)
    return target


def examples_of(prepared: PreparedTask, *, count: int) -> list[SftExample]:
    """The first ``count`` training prompts, each with the answer that the task would imitate."""
    prompts = (prepared.source.prompt(index) for index in range(count))
    return [
        SftExample(prompt_ids=prompt.token_ids, answer=prepared.imitate(prompt))
        for prompt in prompts
    ]


def _in_own_process(
    base: Path, examples: list[SftExample], folder: Path, cfg: RunConfig, say: Callable[[str], None]
) -> None:
    # A forked child hangs in torch once its parent has multiplied matrices.
    context = multiprocessing.get_context("spawn")
    warm = cfg.model.warm_start
    settings: dict[str, Any] = {
        "steps": warm.steps,
        "learning_rate": warm.learning_rate,
        "batch_size": warm.batch_size,
        "seed": cfg.seed,
    }
    reports, child_end = context.Pipe(duplex=False)
    arguments = (base, examples, folder, settings, child_end)
    process = context.Process(target=_warm_start, args=arguments, daemon=True)
    process.start()
    child_end.close()
    try:
        for step, loss in _received(reports):
            say(f"warm start: step {step} of {warm.steps}, loss {loss:.3f}")
        process.join()
    finally:
        process.kill()
    if process.exitcode != 0:
        raise TrainingError(f"the warm start ended with exit code {process.exitcode}: see above")


def _received(reports: Connection) -> Iterator[tuple[int, float]]:
    """What the child sends, until it ends."""
    while True:
        try:
            yield reports.recv()
        except EOFError:
            return


def _warm_start(
    base: Path,
    examples: list[SftExample],
    folder: Path,
    settings: dict[str, Any],
    reports: Connection,
) -> None:
    for number in (signal.SIGINT, signal.SIGTERM):  # the parent's to handle: it kills us
        signal.signal(number, signal.SIG_IGN)
    import torch

    if not torch.cuda.is_available():
        os.environ.setdefault("DS_ACCELERATOR", "cpu")  # TRL imports DeepSpeed, which would guess
    from rlpost.warm_start.sft import warm_start

    torch.set_num_threads(os.cpu_count() or 1)
    warm_start(base, examples, folder, **settings, on_log=lambda *row: reports.send(row))
