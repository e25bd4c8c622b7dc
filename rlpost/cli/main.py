"""The command line: one module per command, put together."""

from __future__ import annotations

import sys

import typer

from rankers.errors import RlpostError, UserError
from rlpost.cli.data import data_app
from rlpost.cli.distill import distill
from rlpost.cli.evaluate import MeasuresCommand, evaluate
from rlpost.cli.rerank import rerank
from rlpost.cli.robustness import robustness
from rlpost.cli.serve import serve
from rlpost.cli.train import check, make_model_command, report, train
from rlpost.interrupt import interruptible

app = typer.Typer(
    name="rlpost",
    help="RL post-training for language models and rankers, on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)
app.command()(train)
app.command()(check)
app.command()(report)
app.command("make-model")(make_model_command)
app.add_typer(data_app)
app.command(cls=MeasuresCommand)(interruptible(evaluate))
app.command()(interruptible(rerank))
app.command()(interruptible(robustness))
app.command()(interruptible(distill))
app.command()(serve)


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
