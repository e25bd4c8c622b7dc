"""The model card: what the model is, what it read, how it was made and how good it is."""

import json
from pathlib import Path

CARD = """\
---
license: apache-2.0
language: en
pipeline_tag: text-generation
tags: [reranking, listwise, tiny]
---
# tiny-ranker

A decoder of {parameters:.1f} million parameters (Qwen3 architecture, {layers} layers, hidden size
{hidden}, own lower-casing byte-pair tokenizer of {vocabulary} tokens) that orders short passages by
their lexical match with a query. It exists so that `rlpost` can show reinforcement learning on a
machine without a GPU and without a download: small enough to train in minutes, good enough to have
something to improve. It is no general language model and no competitive ranker.

Prompt (one user turn), template `compact` of `rankers.prompting`; passages
of about 24 to 32 tokens:

    Query: how to parse a date
    <passage> [1]
    <passage> [2]
    Ranking:

Answer: `[2] > [1]`.

## Training

From scratch by `rlpost make-model --data DIR --out DIR --minutes {minutes:g} --seed {seed}` on one
CPU core: {steps} steps, {tokens:.1f} million tokens. Each problem is a prompt with the answer of a
BM25 teacher computed on the tokens shown; no relevance judgement is used as a target. Two linear
heads, thrown away afterwards, give the matching (which passage tokens occur in the query) and its
pooling (the score at each label) gradients of their own; two heads of the second layer start with
equal query and key projections. See `rlpost/make_model`.

The schedule goes by the clock, so a repetition gives a similar model, not the same one.

| minutes | steps | million tokens | loss of the answer | first label right | pairs right |
|---|---|---|---|---|---|
{curve}

(Lists grow from 2-4 to 5-10 passages and distractors get harder on the way, so the columns are not
comparable between rows that lie far apart.)

## Quality before any warm start or RL

Held-out queries; greedy answers on shuffled lists of 5, the best five of BM25 (Lucene) where the
relevant document is among them.

{quality}

## Data

| source | used | licence |
|---|---|---|
| docstrings of CPython and of installed packages (`pydoc`, training split) | queries, passages | \
PSF-2.0 and the packages' own open-source licences |
| qed_nq (QED: Natural Questions, Wikipedia), training split | queries, passages | CC BY-SA 3.0 |
| wikicar_sample (TREC CAR: Wikipedia 2015), training split | queries, passages | CC BY-SA 3.0 |
| lm_simplewiki (Simple English Wikipedia, 2018) | passages | CC BY-SA 3.0, GFDL |
| medquad (MedQuAD, NIH), training split | queries, passages | CC BY 4.0 |

No query and no judgement of a test or development split was used; passages of the whole corpora of
qed_nq, wikicar_sample and medquad serve as distractors. Modules belong to a split of `pydoc` by a
hash of their name, so its test split stays unseen on any machine. The weights are under
Apache-2.0; the texts are not part of this package. Attribution: Wikipedia contributors; QED (Lamm
et al., 2020, arXiv 2009.06354); TREC CAR (Dietz et al.); MedQuAD (Ben Abacha and Demner-Fushman,
2019); the authors of CPython and of the packages read.
"""
ROWS = 10


def write_card(model_dir: Path, *, curve: Path, quality: str, minutes: float, seed: int) -> None:
    """Write `README.md` into a model directory from its config, its curve and a quality table."""
    config = json.loads((model_dir / "config.json").read_text("utf-8"))
    rows = [json.loads(line) for line in curve.read_text("utf-8").splitlines()]
    text = CARD.format(
        parameters=_parameters(model_dir) / 1e6,
        layers=config["num_hidden_layers"],
        hidden=config["hidden_size"],
        vocabulary=config["vocab_size"],
        minutes=minutes,
        seed=seed,
        steps=rows[-1]["step"],
        tokens=rows[-1]["tokens"] / 1e6,
        curve="\n".join(_curve_row(row) for row in _thinned(rows)),
        quality=quality,
    )
    (model_dir / "README.md").write_text(text, "utf-8")


def _thinned(rows: list[dict[str, float]]) -> list[dict[str, float]]:
    """About `ROWS` rows, evenly spread, the last one among them."""
    step = max(1, len(rows) // ROWS)
    return rows[::-1][::step][::-1]


def _curve_row(row: dict[str, float]) -> str:
    cells = [
        f"{row['seconds'] / 60:.1f}",
        f"{row['step']:.0f}",
        f"{row['tokens'] / 1e6:.1f}",
        f"{row['answer']:.3f}",
        f"{row['first_right']:.3f}",
        f"{row['pairs_right']:.3f}",
    ]
    return "| " + " | ".join(cells) + " |"


def _parameters(model_dir: Path) -> int:
    from safetensors import safe_open

    with safe_open(model_dir / "model.safetensors", framework="numpy") as tensors:
        shapes = [tensors.get_slice(name).get_shape() for name in tensors.keys()]  # noqa: SIM118
    total = 0
    for shape in shapes:
        size = 1
        for extent in shape:
            size *= extent
        total += size
    return total
