"""The command line: `rlpost train | check | evaluate | rerank | serve | distill | report ...`.

The composition root: the only module that may import ``workers``, and only inside a command, so
that ``rlpost --help`` and ``rlpost check`` stay fast.
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from rlpost.cli_data import data_app
from rlpost.cli_distill import distill
from rlpost.cli_evaluate import MeasuresCommand, evaluate
from rlpost.cli_rerank import rerank
from rlpost.cli_robustness import robustness
from rlpost.cli_serve import serve
from rlpost.errors import RlpostError, UserError
from rlpost.interrupt import interruptible

app = typer.Typer(
    name="rlpost",
    help="RL post-training for language models and rankers, on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)

app.add_typer(data_app)

OverridesArg = Annotated[
    list[str] | None,
    typer.Argument(help="Overrides, e.g. seed=1 rollout.group_size=16; of two the last counts"),
]


@app.command()
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
    from workers.launch import launch

    launch(config=config, overrides=words, resume=resume, address=address)


@app.command()
def check(
    config: Annotated[Path | None, typer.Argument(help="YAML file of a run")] = None,
    overrides: OverridesArg = None,
    keys: Annotated[bool, typer.Option("--keys", help="List every key with its meaning")] = False,
) -> None:
    """Validate a config without loading a model: the resolved values, and what follows from
    them."""
    from rlpost.check import print_keys, print_resolved

    if keys:
        print_keys()
    elif config is None:
        raise UserError("give a config file to check, or --keys to list every key")
    else:
        print_resolved(config, overrides or [])


app.command(cls=MeasuresCommand)(interruptible(evaluate))
app.command()(interruptible(rerank))
app.command()(interruptible(robustness))
app.command()(interruptible(distill))
app.command()(serve)


@app.command()
def report(
    run_dir: Annotated[Path, typer.Argument(help="Run directory, finished or not")],
) -> None:
    """Write RUN_DIR/report.html: curves, before and after, sample rollouts, timeline."""
    from rlpost.report import write_report

    print(write_report(run_dir, say=lambda text: print(f"note: {text}", file=sys.stderr)))


@app.command("make-model")
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
    from rlpost.make_model.make import describe, make_model

    if data is not None and not data.is_dir():
        raise UserError(f"--data {data} is not a folder: give one that holds qed_nq, medquad, ...")
    make_model(out, data=data, minutes=minutes, seed=seed, on_log=print)
    describe(out, data=data, minutes=minutes, seed=seed)


def main() -> None:
    """Entry point: turns what went wrong into one message on stderr and an exit code.

    2: bad input. 1: the run, or an engine, failed. 130: interrupted (resumable).
    """
    from rankers.errors import DataError, RankerError

    try:
        app()
    except (UserError, DataError) as error:
        _stop(str(error), code=2)
    except (RlpostError, RankerError) as error:
        _stop(f"{type(error).__name__}: {error}", code=1)


def _stop(message: str, *, code: int) -> None:
    print(f"error: {message}", file=sys.stderr)
    raise SystemExit(code)


if __name__ == "__main__":
    main()
