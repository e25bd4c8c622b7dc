"""Checkpoints read whole: a weight that the files lack is refused, never drawn at random."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rankers.errors import DataError

if TYPE_CHECKING:
    from torch.nn import Module

SHOWN = 4
"""Names in an error message at most."""
OTHER_HEADS = ("score", "classifier", "classification_head", "qa_outputs")
"""Modules that turn hidden states into classes: a model of words that has them was trained to
judge, and its words were left behind."""
REMEDY = "name the folder of a complete model of that kind"


def load_whole(
    kind: Any, model_path: str | Path, *, unused: Collection[str] = (), **options: Any
) -> Any:
    """``kind.from_pretrained``, for an auto class of transformers, or DataError.

    ``unused``: modules whose weights may be missing, because nothing that they compute is read.
    """
    with quiet():
        model, info = _read(kind, model_path, options)
    missing = [key for key in info["missing_keys"] if not set(unused) & set(key.split("."))]
    refuse_missing(model_path, type(model).__name__, missing, of=len(model.state_dict()))
    if info["mismatched_keys"]:
        key, found, wanted = min(info["mismatched_keys"])
        raise DataError(
            f"{model_path}: {key} has the shape {tuple(found)} in the files and {tuple(wanted)} in "
            f"config.json: {REMEDY}"
        )
    heads = [key for key in info["unexpected_keys"] if key.split(".")[0] in OTHER_HEADS]
    if heads:
        raise DataError(
            f"{model_path} is no {type(model).__name__}: it was trained with the head "
            f"{_listed(heads)}, which would not be used; {REMEDY}, or rerank with --method "
            "cross-encoder"
        )
    return model


def check_causal(model_path: str | Path, adapter: Path | None = None) -> None:
    """Refuse, in the time of reading headers, a causal model whose files are not whole or into
    which ``adapter`` does not fit.

    Raises DataError. What transformers cannot load is left to the engine, which may know it.
    """
    from transformers import AutoModelForCausalLM

    try:
        model = load_whole(AutoModelForCausalLM, model_path, device_map="meta")
    except DataError:
        raise
    except (OSError, ValueError, ImportError, RuntimeError):
        return
    if adapter is not None:
        from peft import PeftConfig, get_peft_model

        with _fitting(adapter):
            config = PeftConfig.from_pretrained(str(adapter))
            refuse_unfitting(get_peft_model(model, config), adapter)


def with_adapter(model: Any, adapter: Path) -> Any:
    """``model`` with the PEFT ``adapter`` merged into it. DataError where it does not fit."""
    from peft import PeftModel

    with _fitting(adapter):
        adapted = PeftModel.from_pretrained(model, str(adapter))
        refuse_unfitting(adapted, adapter)
        return adapted.merge_and_unload()


def refuse_unfitting(adapted: Any, adapter: Path) -> None:
    """DataError unless the files of ``adapter`` hold what ``adapted`` has beside its base."""
    from peft import get_peft_model_state_dict
    from peft.utils import load_peft_weights

    wanted = {
        key: tuple(tensor.shape)
        for key, tensor in get_peft_model_state_dict(adapted, save_embedding_layers=False).items()
    }
    found = {
        key: tuple(tensor.shape)
        for key, tensor in load_peft_weights(str(adapter), device="cpu").items()
    }
    embeddings = {key for key in found if key.endswith(("embed_tokens.weight", "lm_head.weight"))}
    if missing := sorted(wanted.keys() - found.keys()):
        raise DataError(
            f"the adapter {adapter} lacks {_listed(missing)} for this model: name the base model "
            "that it was trained on"
        )
    if strange := sorted(found.keys() - wanted.keys() - embeddings):
        raise DataError(
            f"the adapter {adapter} has {_listed(strange)}, which this model does not: name the "
            "base model that it was trained on"
        )
    for key, shape in wanted.items():
        if found[key] != shape:
            raise DataError(
                f"the adapter {adapter}: {key} has the shape {found[key]} and this model needs "
                f"{shape}: name the base model that it was trained on"
            )


def refuse_unread(
    name: str | Path, modules: Module, probe: Callable[[], Iterable[float]], remedy: str = REMEDY
) -> None:
    """DataError where a transformer inside ``modules`` has weights that its files lacked.

    A pooler is spared where ``probe``, the numbers of some answer, does not depend on it.
    """
    from transformers import PreTrainedModel

    for model in modules.modules():
        if not isinstance(model, PreTrainedModel) or hasattr(model, "hf_quantizer"):
            continue
        # transformers marks what it has read, or tied to what it has read.
        unread: Mapping[str, Any] = {
            key: weight
            for key, weight in model.named_parameters()
            if not getattr(weight, "_is_hf_initialized", False)
        }
        if unread and all("pooler" in key.split(".") for key in unread) and _idle(unread, probe):
            continue
        total = sum(1 for _ in model.parameters())
        refuse_missing(name, type(model).__name__, list(unread), of=total, remedy=remedy)


def refuse_missing(
    name: str | Path, kind: str, missing: Collection[str], *, of: int, remedy: str = REMEDY
) -> None:
    """DataError that names the ``missing`` of a model's ``of`` weights, if there are any."""
    if missing:
        what = "all weights" if len(missing) >= of else _listed(missing)
        raise DataError(
            f"{name} lacks {what} of a {kind} (or has them in other shapes), and numbers drawn at "
            f"random would stand for them: {remedy}"
        )


@contextmanager
def quiet() -> Iterator[None]:
    """Without transformers' progress bars and reports of missing keys: here they are judged."""
    from transformers.utils import logging

    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    before = logging.get_verbosity()
    logging.set_verbosity_error()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        logging.set_verbosity(before)


def _read(kind: Any, model_path: str | Path, options: Mapping[str, Any]) -> Any:
    return kind.from_pretrained(
        model_path, output_loading_info=True, ignore_mismatched_sizes=True, **options
    )


def _idle(weights: Mapping[str, Any], probe: Callable[[], Iterable[float]]) -> bool:
    """Whether ``probe`` stays a number when ``weights`` are none; they are zeros in the end."""
    import math

    import torch

    with torch.no_grad():
        for weight in weights.values():
            weight.fill_(math.nan)
        finite = all(map(math.isfinite, probe()))
        for weight in weights.values():
            weight.zero_()
    return finite


@contextmanager
def _fitting(adapter: Path) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except (OSError, ValueError, RuntimeError, KeyError) as error:
        reason = " ".join(str(error).split())[:200]
        raise DataError(
            f"the adapter {adapter} does not fit its model ({reason}): name the base model that it "
            "was trained on"
        ) from None


def _listed(names: Collection[str]) -> str:
    shown = ", ".join(sorted(names)[:SHOWN])
    return shown if len(names) <= SHOWN else f"{shown} and {len(names) - SHOWN} more"
