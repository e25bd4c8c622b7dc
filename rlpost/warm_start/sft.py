"""The short supervised phase before RL: TRL's SFTTrainer on prompts of the task itself.

It teaches the form of the answer and the order of the first stage, never true relevance: what
separates the first stage from the truth is left for RL to find.
"""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import torch
from datasets import disable_progress_bars
from transformers import (
    PreTrainedTokenizerBase,
    PrinterCallback,
    TrainerCallback,
    TrainerControl,
    TrainerState,
    TrainingArguments,
    set_seed,
)
from transformers.utils import logging

from rankers.errors import UserError
from rlpost.models.loading import load_base, load_tokenizer
from rlpost.models.save import save_model
from rlpost.warm_start.example import SftExample

if TYPE_CHECKING:
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig

WARM_UP_SHARE = 0.1
WEIGHT_DECAY = 0.0


def warm_start(
    model_dir: Path,
    examples: Sequence[SftExample],
    out_dir: Path,
    *,
    steps: int,
    learning_rate: float,
    batch_size: int,
    seed: int,
    on_log: Callable[[int, float], None] = lambda step, loss: None,
) -> dict[str, float]:
    """Fine-tune all weights of `model_dir` on `examples` and write a plain model at `out_dir`.

    Cross-entropy on the tokens of the answer and its end-of-turn token alone, AdamW, linear
    schedule, float32 (also on disk). Returns `loss_first`, `loss_last` (nats per answer token) and
    `seconds`; `on_log` is told step and loss ten times on the way. Raises UserError without
    examples.
    """
    from rlpost.warm_start.answer_trainer import AnswerTrainer

    disable_progress_bars()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    if not examples:
        raise UserError(
            "the warm start got no examples: lower task.candidates, check the training split, or "
            "set model.warm_start.steps=0"
        )
    set_seed(seed)
    tokenizer = load_tokenizer(model_dir)
    model = load_base(model_dir, "float32")
    start = time.monotonic()
    with tempfile.TemporaryDirectory() as scratch:
        trainer = AnswerTrainer(
            model=model,
            args=_arguments(scratch, steps, learning_rate, batch_size, seed),
            train_dataset=_dataset(examples, tokenizer),
            processing_class=tokenizer,
        )
        trainer.remove_callback(PrinterCallback)
        trainer.add_callback(_LossLine(on_log))
        trainer.train()
    losses = [row["loss"] for row in trainer.state.log_history if "loss" in row]
    save_model(model, tokenizer, out_dir, dtype=torch.float32)
    return {
        "loss_first": losses[0],
        "loss_last": losses[-1],
        "seconds": time.monotonic() - start,
    }


class _LossLine(TrainerCallback):
    """Passes on what the trainer logs."""

    def __init__(self, on_log: Callable[[int, float], None]) -> None:
        self._on_log = on_log

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **others: object,
    ) -> None:
        if logs is not None and "loss" in logs:
            self._on_log(state.global_step, float(logs["loss"]))


def _dataset(examples: Sequence[SftExample], tokenizer: PreTrainedTokenizerBase) -> Dataset:
    """Token ids and completion masks: tokenized here, so that RL sees the very same tokens."""
    from datasets import Dataset

    rows = []
    for example in examples:
        answer = tokenizer(example.answer, add_special_tokens=False)["input_ids"]
        completion = [*answer, tokenizer.eos_token_id]
        rows.append(
            {
                "input_ids": [*example.prompt_ids, *completion],
                "completion_mask": [0] * len(example.prompt_ids) + [1] * len(completion),
            }
        )
    return Dataset.from_list(rows)


def _arguments(
    scratch: str, steps: int, learning_rate: float, batch_size: int, seed: int
) -> SFTConfig:
    from trl.trainer.sft_config import SFTConfig

    return SFTConfig(
        output_dir=scratch,
        max_steps=steps,
        per_device_train_batch_size=batch_size,
        learning_rate=learning_rate,
        lr_scheduler_type="linear",
        warmup_steps=max(1, round(WARM_UP_SHARE * steps)),
        weight_decay=WEIGHT_DECAY,
        completion_only_loss=True,
        max_length=None,
        bf16=False,
        gradient_checkpointing=False,
        use_cpu=not torch.cuda.is_available(),
        logging_steps=max(1, steps // 10),
        save_strategy="no",
        report_to="none",
        disable_tqdm=True,
        seed=seed,
        data_seed=seed,
    )
