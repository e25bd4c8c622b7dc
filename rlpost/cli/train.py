"""`rlpost train`, `check`, `report`, `make-model`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rankers.errors import UserError
from rlpost.interrupt import interruptible

OverridesArg = Annotated[
    list[str] | None,
    typer.Argument(help="Overrides, e.g. seed=1 rollout.group_size=16; of two the last counts"),
]


@interruptible
def train(
    config: Annotated[
        Path | None, typer.Argument(help="YAML file of the run; left out with --resume")
    ] = None,
    overrides: OverridesArg = None,
    resume: Annotated[
        Path | None,
        typer.Option(help="Run directory to continue from its last checkpoint", metavar="RUN_DIR"),
    ] = None,
    address: Annotated[
        str | None,
        typer.Option(
            envvar="RAY_ADDRESS", help="Ray cluster to join; default: one started for this run"
        ),
    ] = None,
) -> None:
    """Train a policy; ends with a held-out evaluation before and after, and report.html.

    Ctrl-C or SIGTERM writes a checkpoint and exits with 130; `--resume RUN_DIR` goes on from there,
    with what it was started with: `--resume RUN_DIR steps=90` may add steps.
    """
    from workers.environment import prepare_environment

    words = overrides or []
    if resume is not None and config is not None and "=" in config.name and not config.exists():
        config, words = None, [str(config), *words]
    if config is not None and resume is not None:
        raise UserError(f"--resume goes on with the run's own config: leave {config} out")
    if config is None and resume is None:
        raise UserError("give a config file, or --resume RUN_DIR")
    prepare_environment(address)
    from workers.train.launch import launch

    launch(config=config, overrides=words, resume=resume, address=address)


def check(
    config: Annotated[Path | None, typer.Argument(help="YAML file of a run")] = None,
    overrides: OverridesArg = None,
    keys: Annotated[bool, typer.Option("--keys", help="List every key with its meaning")] = False,
) -> None:
    """Validate a config without loading a model: the resolved values, and what follows from
    them."""
    from rlpost.cli.check import print_keys, print_resolved

    if keys:
        print_keys()
    elif config is None:
        raise UserError("give a config file to check, or --keys to list every key")
    else:
        print_resolved(config, overrides or [])


def report(
    run_dir: Annotated[Path, typer.Argument(help="Run directory, finished or not")],
) -> None:
    """Write RUN_DIR/report.html: curves, before and after, sample rollouts, timeline."""
    from rlpost.report import write_report

    print(write_report(run_dir, say=lambda text: print(f"note: {text}", file=sys.stderr)))


@interruptible
def make_model_command(
    out: Annotated[Path, typer.Option(help="Folder to write the model to")],
    data: Annotated[
        Path | None, typer.Option(help="Folder of collections to learn from besides pydoc")
    ] = None,
    minutes: Annotated[float, typer.Option(min=0.1, help="Time for training, on one core")] = 46,
    seed: Annotated[int, typer.Option(help="Seed of weights and problems")] = 0,
) -> None:
    """Train the tiny ranker from scratch, measure it and write its card."""
    from rlpost.tiny_ranker.make import describe, make_model

    if data is not None and not data.is_dir():
        raise UserError(f"--data {data} is not a folder: give one that holds qed_nq, medquad, ...")
    make_model(out, data=data, minutes=minutes, seed=seed, on_log=print)
    describe(out, data=data, minutes=minutes, seed=seed)
