"""Writing a model directory: weights, tokenizer and sampling defaults, replaced in one step."""

import copy
import shutil
from pathlib import Path

import torch
from transformers import GenerationConfig, PreTrainedModel, PreTrainedTokenizerBase

from rankers.files.modes import fresh_folder, open_alike


def save_model(
    model: PreTrainedModel,
    tokenizer: PreTrainedTokenizerBase,
    out: Path,
    *,
    dtype: torch.dtype = torch.bfloat16,
) -> None:
    """Write a complete `save_pretrained` directory at `out`; a reader never sees half of it."""
    copied = copy.deepcopy(model)
    torch.nn.Module.to(copied, dtype)
    copied.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        do_sample=True,
        temperature=1.0,
        top_k=0,
        top_p=1.0,
        eos_token_id=model.config.eos_token_id,
        pad_token_id=model.config.pad_token_id,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    fresh = fresh_folder(out)
    copied.save_pretrained(fresh)
    tokenizer.save_pretrained(fresh)
    open_alike(fresh)
    replace_dir(fresh, out)


def replace_dir(fresh: Path, out: Path) -> None:
    """Put the directory `fresh` in the place of `out`, which may exist."""
    old = out.with_name(f".{out.name}-old")
    if out.exists():
        out.rename(old)
    fresh.rename(out)
    shutil.rmtree(old, ignore_errors=True)
