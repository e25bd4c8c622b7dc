"""From texts to a model directory: `rlpost make-model`."""

import time
from collections.abc import Callable
from pathlib import Path

import torch

from rankers.datasets.load import load_collection
from rlpost.models.save import save_model
from rlpost.tiny_ranker.card import write_card
from rlpost.tiny_ranker.init import new_model
from rlpost.tiny_ranker.objective import PretrainModel
from rlpost.tiny_ranker.pretrain import Metrics, pretrain
from rlpost.tiny_ranker.problems import ProblemSampler
from rlpost.tiny_ranker.quality import forms, measure_quality, table
from rlpost.tiny_ranker.sources import load_sources
from rlpost.tiny_ranker.tokenizer import train_tokenizer

SAVE_EVERY_SECONDS = 180.0
TOKENIZER_TEXTS = 15_000  # of each source
JUDGED = "qed_nq"  # measured beside pydoc where the data folder has it


def make_model(
    out: Path,
    *,
    data: Path | None = None,
    minutes: float = 50,
    seed: int = 0,
    on_log: Callable[[Metrics], None] = lambda row: None,
) -> None:
    """Train tokenizer and model from scratch and write a model directory at `out`.

    `data` is a folder of collections (see `sources`); without it `pydoc` alone is used. The
    directory is complete and replaced every few minutes, the curve lies in `<out>.curve.jsonl`.
    """
    torch.manual_seed(seed)
    sources = load_sources(data)
    texts = [text for s in sources for text in s.passages[:TOKENIZER_TEXTS] + s.queries]
    tokenizer = train_tokenizer(texts)
    student = PretrainModel(new_model(tokenizer, seed=seed))
    sampler = ProblemSampler(sources, tokenizer, seed=seed)
    saved = time.monotonic()

    def log(row: Metrics) -> None:
        nonlocal saved
        on_log(row)
        if time.monotonic() - saved > SAVE_EVERY_SECONDS:
            save_model(student.model, tokenizer, out)
            saved = time.monotonic()

    curve = curve_of(out)
    curve.parent.mkdir(parents=True, exist_ok=True)
    curve.unlink(missing_ok=True)
    pretrain(student, sampler, minutes=minutes, curve=curve, on_log=log)
    save_model(student.model, tokenizer, out)


def describe(out: Path, *, data: Path | None, minutes: float, seed: int) -> None:
    """Measure the model at `out` on held-out queries and write its card beside it."""
    names: list[str | Path] = ["pydoc"]
    if data is not None and (data / JUDGED).is_dir():
        names.append(data / JUDGED)
    held_out = [load_collection(name, "test") for name in names]
    tables = table([measure_quality(out, collection) for collection in held_out])
    quality = f"{tables}\n\n{forms(out, held_out[0])}"
    write_card(out, curve=curve_of(out), quality=quality, minutes=minutes, seed=seed)


def curve_of(out: Path) -> Path:
    """Where the learning curve of the model at `out` lies."""
    return out.with_name(out.name + ".curve.jsonl")
