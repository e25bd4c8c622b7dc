"""The backend on transformers: any local chat model, on CPU or GPU."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any, cast

import torch
from torch import Tensor

from rankers.errors import BackendError, DataError
from rankers.ports import Completion, LabelScores
from rankers.prompts import Message


class HfBackend:
    """Answers chats in left-padded batches of similar length.

    Greedy decoding ignores sampling defaults that a model ships with. Batching changes answers
    only where float rounding decides between equal logits.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        dtype: torch.dtype = torch.float32,
        device: str = "cpu",
        max_batch_tokens: int = 16_384,
    ) -> None:
        """``max_batch_tokens`` bounds prompts with padding plus room for answers of one batch.

        Raises DataError where the model has no chat template: its prompts would be guessed.
        """
        from transformers import AutoModelForCausalLM, AutoTokenizer, GenerationConfig

        self._tokenizer: Any = AutoTokenizer.from_pretrained(model_path, padding_side="left")
        if self._tokenizer.chat_template is None:
            raise DataError(f"{model_path} has no chat template: add one to its tokenizer")
        self._model = cast(Any, AutoModelForCausalLM.from_pretrained(model_path, dtype=dtype))
        self._model.to(device).eval()
        stop = self._model.generation_config.eos_token_id
        self._pad = self._tokenizer.pad_token_id
        if self._pad is None:
            self._pad = self._tokenizer.eos_token_id
        self._stop = {
            self._tokenizer.eos_token_id,
            *([stop] if isinstance(stop, int) else stop or ()),
        }
        self._greedy = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False, eos_token_id=sorted(self._stop), pad_token_id=self._pad
        )
        self._context = int(self._model.config.max_position_embeddings)
        self._max_batch_tokens = max_batch_tokens

    def complete(self, chats: Sequence[Sequence[Message]], *, max_tokens: int) -> list[Completion]:
        """See ``Backend.complete``. Raises BackendError where prompt and answer do not fit."""
        prompts = [self._ids(chat, room=max_tokens) for chat in chats]
        answers: dict[int, Completion] = {}
        for batch in self._batches(prompts, max_tokens):
            texts = self._generate([prompts[i] for i in batch], max_tokens)
            answers |= zip(batch, texts, strict=True)
        return [answers[i] for i in range(len(chats))]

    def label_logprobs(
        self, chats: Sequence[Sequence[Message]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores]:
        """See ``LabelBackend.label_logprobs``. Raises DataError on a label of several tokens."""
        start: list[int] = self._tokenizer.encode(primer, add_special_tokens=False)
        label_ids = [self._label_id(label, primer, start) for label in labels]
        prompts = [self._ids(chat, room=len(start)) + start for chat in chats]
        found: dict[int, LabelScores] = {}
        for batch in self._batches(prompts, 0):
            rows = self._next_logprobs([prompts[i] for i in batch])[:, label_ids].tolist()
            for i, row in zip(batch, rows, strict=True):
                found[i] = LabelScores(logprobs=tuple(row), prompt_tokens=len(prompts[i]))
        return [found[i] for i in range(len(chats))]

    def _ids(self, chat: Sequence[Message], *, room: int) -> list[int]:
        ids: list[int] = self._tokenizer.apply_chat_template(
            list(chat), add_generation_prompt=True, tokenize=True, return_dict=False
        )
        if len(ids) + room > self._context:
            raise BackendError(
                f"a prompt of {len(ids)} tokens and an answer of {room} exceed the model's "
                f"context of {self._context}: show fewer or shorter passages"
            )
        return ids

    def _label_id(self, label: str, primer: str, start: list[int]) -> int:
        ids: list[int] = self._tokenizer.encode(primer + label, add_special_tokens=False)
        if len(ids) != len(start) + 1 or ids[: len(start)] != start:
            raise DataError(
                f"label {label!r} after {primer!r} is not one token of this model: use a method "
                "that generates its answers"
            )
        return ids[-1]

    def _batches(self, prompts: Sequence[Sequence[int]], max_tokens: int) -> list[list[int]]:
        batches: list[list[int]] = []
        for i in sorted(range(len(prompts)), key=lambda i: len(prompts[i])):
            width = len(prompts[i]) + max_tokens  # the longest of its batch, by the sorting
            if not batches or (len(batches[-1]) + 1) * width > self._max_batch_tokens:
                batches.append([])
            batches[-1].append(i)
        return batches

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[list[int]], max_tokens: int) -> list[Completion]:
        ids, mask = self._padded(prompts)
        output = self._model.generate(
            ids,
            attention_mask=mask,
            generation_config=self._greedy,
            max_new_tokens=max_tokens,
        )
        return [
            self._completion(prompt, row)
            for prompt, row in zip(prompts, output[:, ids.shape[1] :].tolist(), strict=True)
        ]

    @torch.inference_mode()
    def _next_logprobs(self, prompts: Sequence[list[int]]) -> Tensor:
        ids, mask = self._padded(prompts)
        positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
        output = self._model(ids, attention_mask=mask, position_ids=positions, logits_to_keep=1)
        logits: Tensor = output.logits[:, -1]
        return logits.float().log_softmax(dim=-1)

    def _padded(self, prompts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        width = max(map(len, prompts))
        ids = torch.tensor([[self._pad] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        return ids.to(self._model.device), mask.to(self._model.device)

    def _completion(self, prompt: Sequence[int], generated: Sequence[int]) -> Completion:
        end = next((i + 1 for i, token in enumerate(generated) if token in self._stop), None)
        kept = generated[:end]
        text: str = self._tokenizer.decode(kept, skip_special_tokens=True)
        return Completion(text=text, prompt_tokens=len(prompt), generated_tokens=len(kept))
