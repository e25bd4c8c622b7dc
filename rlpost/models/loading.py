"""Base model and tokenizer: where they are loaded, for learner and engines alike."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from rankers.errors import DataError, UserError
from rankers.model_path import ASSETS, places, resolve
from rankers.prompting.chat import chat_template
from rankers.prompting.model_families import SILENT
from rlpost.types import Message

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

Dtype = Literal["float32", "bfloat16"]
PLAIN_TOKENIZERS = ("PreTrainedTokenizerFast", "TokenizersBackend")
"""Classes whose behaviour is all in tokenizer.json."""

TOKENIZER_FILES = ("tokenizer.json", "tokenizer.model", "vocab.json", "spiece.model")
POSITIONS = ("max_position_embeddings", "n_positions", "max_seq_len", "max_sequence_length")
"""Names under which configurations keep the number of positions."""

TEXT_PARTS = ("text_config", "llm_config", "language_config")
NO_LIMIT = 1 << 20
"""Context in tokens of a model whose configuration names none."""


def is_local(path: str | Path) -> bool:
    """Whether a model is here by folder or shipped name, or a folder that might be one is."""
    return any(folder.is_dir() for folder in places(path))


def load_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of a chat model. UserError when it or its chat template is missing."""
    tokenizer = load_bare_tokenizer(path)
    if not tokenizer.chat_template:
        raise UserError(
            f"the tokenizer of {path} has no chat template: set tokenizer.chat_template and save "
            "it again, or use the chat version of the model"
        )
    return tokenizer


def load_bare_tokenizer(path: str | Path) -> PreTrainedTokenizerBase:
    """The tokenizer of any model, with or without a chat template. UserError when it is missing."""
    folder = resolve(path)
    # Some tokenizer classes load "successfully", and empty, from a folder without their files.
    if not any((folder / name).is_file() for name in TOKENIZER_FILES):
        raise UserError(
            f"{path} has no tokenizer ({' or '.join(TOKENIZER_FILES)}): save one into the folder "
            "with tokenizer.save_pretrained"
        )
    tokenizer: PreTrainedTokenizerBase = _tokenizer_class(folder).from_pretrained(folder)
    return tokenizer


def _tokenizer_class(folder: Path) -> Any:
    """The class to load with: AutoTokenizer imports torch and every model, which takes seconds."""
    config = folder / "tokenizer_config.json"
    named = json.loads(config.read_text()).get("tokenizer_class") if config.is_file() else None
    if named in PLAIN_TOKENIZERS and (folder / "tokenizer.json").is_file():
        from transformers import PreTrainedTokenizerFast

        return PreTrainedTokenizerFast
    from transformers import AutoTokenizer

    return AutoTokenizer


def load_base(path: str | Path, dtype: Dtype) -> PreTrainedModel:
    """The causal language model, on CPU, in evaluation mode. UserError when it cannot be one."""
    import torch
    from transformers import AutoModelForCausalLM

    import rlpost.batch.unfused_attention  # noqa: F401 - mends attention that would drop soft caps
    from rankers.backends.weights import load_whole

    folder = resolve(path)
    try:
        model: PreTrainedModel = load_whole(
            AutoModelForCausalLM, folder, dtype=getattr(torch, dtype)
        )
    except DataError as exc:
        raise UserError(str(exc)) from None
    except (OSError, ValueError, RuntimeError) as exc:
        raise UserError(f"{path} is not a loadable causal language model: {exc}") from exc
    model.eval()  # type: ignore[no-untyped-call]
    return model


def context_length(path: str | Path, wanted: int | None) -> int:
    """``wanted`` tokens, by default all positions. UserError when the model has fewer.

    A model without positions (a state-space model, ALiBi) has no limit: ``NO_LIMIT`` by default.
    """
    folder = resolve(path)
    config = json.loads((folder / "config.json").read_text())
    # Checkpoints of several modalities keep the settings of their language model in a part.
    parts = (config, *(config[key] for key in TEXT_PARTS if isinstance(config.get(key), dict)))
    found = [part[name] for part in parts for name in POSITIONS if part.get(name)]
    positions = int(found[0]) if found else _default_positions(folder)
    if wanted is not None and wanted > positions:
        raise UserError(
            f"max_length {wanted} exceeds the {positions} positions of {path}: lower it"
        )
    return wanted or positions


def _default_positions(folder: Path) -> int:
    """Positions that a model has without its configuration file saying so."""
    from transformers import AutoConfig

    try:
        config: Any = AutoConfig.from_pretrained(folder).get_text_config()
    except (OSError, ValueError, KeyError) as exc:
        raise UserError(f"{folder} has no readable config.json: {exc}") from exc
    return next((getattr(config, n) for n in POSITIONS if getattr(config, n, None)), NO_LIMIT)


def render(
    tokenizer: PreTrainedTokenizerBase,
    messages: Sequence[Message],
    options: Mapping[str, object] | None = None,
) -> tuple[int, ...]:
    """Token ids of a conversation up to where the assistant's next turn begins.

    ``options`` are the chat template's. Raises UserError where it cannot show the turns.
    """
    turns = [{"role": message.role, "content": message.content} for message in messages]
    try:
        return tuple(chat_template(tokenizer, options)(turns))
    except DataError as error:
        raise UserError(str(error)) from None


def renderer(
    tokenizer: PreTrainedTokenizerBase, options: Mapping[str, object]
) -> Callable[[Sequence[Message]], tuple[int, ...]]:
    """``render`` with these options. UserError for one that the chat template does not know."""
    source = json.dumps(tokenizer.chat_template)
    unknown = [name for name in options if name not in SILENT and name not in source]
    if unknown:
        raise UserError(
            f"model.chat_template_kwargs names {', '.join(unknown)}, which the chat template of "
            f"{tokenizer.name_or_path} does not use: correct the name, or leave it out"
        )
    return partial(render, tokenizer, options=options)


def stop_ids(path: str | Path, tokenizer: PreTrainedTokenizerBase) -> frozenset[int]:
    """Tokens that end a completion: the tokenizer's end of sequence and the model's own list."""
    stop: set[Any] = {tokenizer.eos_token_id}
    config = resolve(path) / "generation_config.json"
    if config.is_file():
        listed = json.loads(config.read_text()).get("eos_token_id")
        stop |= set(listed) if isinstance(listed, list) else {listed}
    return frozenset(token for token in stop if token is not None)


def checkpoint_tensors(path: str | Path) -> Iterator[tuple[str, torch.Tensor]]:
    """Every tensor of the checkpoint under its name in the files."""
    from safetensors import safe_open

    folder = resolve(path)
    files = sorted(folder.glob("*.safetensors"))
    if not files:
        raise UserError(f"{path} has no *.safetensors: save the model again with save_pretrained")
    for file in files:
        with safe_open(file, framework="pt") as tensors:
            for name in tensors.keys():  # noqa: SIM118 - safe_open is no mapping
                yield name, tensors.get_tensor(name)


SHIPPED_NAME = "tiny-ranker"


def shipped_model() -> Path:
    """The folder of the model that comes with the package, in `save_pretrained` layout."""
    return ASSETS / SHIPPED_NAME


def resolve_model_path(name: str) -> str:
    """`name` as transformers and vLLM take it: the shipped model's folder for "tiny-ranker"."""
    return str(shipped_model()) if name == SHIPPED_NAME else name
