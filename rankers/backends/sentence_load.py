"""A folder of sentence-transformers -> the model, whole and of the kind that was asked for."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, Literal

from rankers.backends.weights import quiet, refuse_unread
from rankers.errors import DataError

Kind = Literal["SentenceTransformer", "CrossEncoder"]
METHOD = {"SentenceTransformer": "bi-encoder", "CrossEncoder": "cross-encoder"}
"""``model_type`` of a folder -> the method that reads it."""
REMEDIES = {
    "SentenceTransformer": "give the folder of a complete embedding model",
    "CrossEncoder": "use --method bi-encoder for an embedding model, or give the folder of a "
    "complete cross-encoder",
}
JUDGES = ("ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering")
"""Classes of transformers whose hidden states were trained for a head of their own."""


def load_sentence_model(
    kind: Kind, model_path: str | Path, *, device: str | None = None, dtype: str = "float32"
) -> Any:
    """The model, in evaluation mode; ``device`` None for the best there is.

    Raises DataError where it cannot be loaded, is of another kind, or lacks weights.
    """
    import sentence_transformers

    _refuse_other_kind(kind, Path(model_path))
    try:
        with quiet():
            model = getattr(sentence_transformers, kind)(
                str(model_path),
                device=device,
                # What does not fit counts as missing, with its name, below.
                model_kwargs={"dtype": dtype, "ignore_mismatched_sizes": True},
            ).eval()
    except (OSError, ValueError, RuntimeError, KeyError, TypeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"cannot load {str(model_path)!r} with sentence-transformers ({reason}): give the "
            "folder of such a model"
        ) from None
    refuse_unread(model_path, model, lambda: _answer(kind, model), REMEDIES[kind])
    return model


def own_prompts(folder: Path) -> tuple[str, str]:
    """What the model in ``folder`` wants before a query and before a passage.

    As sentence-transformers 6.2 reads ``config_sentence_transformers.json`` in ``encode_query``
    and ``encode_document``: the prompts named ``query`` and ``document``; others and
    ``default_prompt_name`` do not count.
    """
    prompts = _settings(folder).get("prompts") or {}
    return prompts.get("query") or "", prompts.get("document") or ""


def _refuse_other_kind(kind: Kind, folder: Path) -> None:
    """DataError for what would load, whole, as something that it was not trained to be."""
    config = folder / "config.json"
    classes = _json(config).get("architectures") or [] if config.is_file() else []
    whole_folder = (folder / "modules.json").is_file()
    found = _settings(folder).get("model_type", "SentenceTransformer") if whole_folder else None
    if kind == "CrossEncoder":
        if found != kind and any(name.endswith("ForCausalLM") for name in classes):
            raise DataError(
                f"{folder} is a {classes[0]} and no CrossEncoder of sentence-transformers, which "
                "would say how it is asked about a pair: use --method pointwise, or give a "
                "cross-encoder"
            )
        return
    if found not in (kind, None):
        remedy = f"use --method {METHOD[found]}" if found in METHOD else "give a model of that kind"
        raise DataError(f"{folder} is a {found} and no {kind}: {remedy}")
    if found is None and any(name.endswith(JUDGES) for name in classes):
        raise DataError(
            f"{folder} is a {classes[0]}, whose states were trained for its head and not as "
            "embeddings: use --method cross-encoder, or give an embedding model"
        )


def _answer(kind: Kind, model: Any) -> list[float]:
    """The model's numbers for a word, or a pair of them."""
    if kind == "CrossEncoder":
        scores = model.predict([["a", "a"]], convert_to_tensor=True, show_progress_bar=False)
        return [float(number) for number in scores.float().flatten()]
    vector = model.encode(["a"], convert_to_tensor=True, show_progress_bar=False)
    return [float(number) for number in vector.float().flatten()]


def _settings(folder: Path) -> dict[str, Any]:
    file = folder / "config_sentence_transformers.json"
    return _json(file) if file.is_file() else {}


def _json(file: Path) -> dict[str, Any]:
    try:
        content: dict[str, Any] = json.loads(file.read_text("utf-8"))
    except ValueError as broken:
        raise DataError(f"{file} is not valid JSON ({broken}): save the model again") from None
    return content
