"""The backend on transformers: any local chat model or T5, on CPU or GPU."""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor

from rankers.backends.rendering import Given, P, Renderer, T, answer_fitting
from rankers.backends.weights import load_whole, with_adapter
from rankers.errors import BackendError, backend_boundary
from rankers.prompting.templates import ChatMessage
from rankers.reranker.protocols import LabelScores, Likelihood, TextCompletion

Dtype = Literal["float32", "bfloat16"]


class HfBackend:
    """Answers chats in padded batches of similar length.

    Greedy decoding ignores sampling defaults that a model ships with. Batching changes answers
    only where float rounding decides between equal logits. Encoder-decoder models (monoT5) read
    the text of a chat without a template.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        adapter: Path | None = None,
        dtype: Dtype = "float32",
        device: str = "cpu",
        max_length: int | None = None,
        max_batch_tokens: int | None = None,
        chat_options: Mapping[str, object] | None = None,
    ) -> None:
        """``adapter``: a PEFT folder, merged into the weights. ``max_batch_tokens`` bounds prompts
        with padding plus room for answers of one batch (default: 16384, and 2048 where a CPU only
        scores, which goes fastest while a batch is in its cache); the rest is as in ``Renderer``.

        Raises DataError where a chat model has no chat template: its prompts would be guessed.
        """
        from transformers import GenerationConfig

        self._renderer = Renderer(model_path, chat_options=chat_options, max_length=max_length)
        with backend_boundary(f"loading {model_path} with transformers"):
            self._model = _load(model_path, adapter, getattr(torch, dtype)).to(device).eval()
        tokenizer = self._renderer.tokenizer
        tokenizer.padding_side = "left"
        self._pad: int = (
            tokenizer.eos_token_id if tokenizer.pad_token_id is None else tokenizer.pad_token_id
        )
        self._model.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
            do_sample=False,
            eos_token_id=sorted(self._renderer.stop),
            pad_token_id=self._pad,
            decoder_start_token_id=self._model.config.decoder_start_token_id
            if self._renderer.encoder_decoder
            else None,
        )
        self._generated_tokens = max_batch_tokens or 16_384
        self._scored_tokens = max_batch_tokens or (2048 if device == "cpu" else 16_384)

    @property
    def chat_tokenizer(self) -> Renderer:
        """The model's tokenizer and template, for a budget."""
        return self._renderer

    def complete(
        self, chats: Sequence[Sequence[ChatMessage]], *, max_tokens: int
    ) -> list[TextCompletion | BackendError]:
        """See ``Backend.complete``."""
        return answer_fitting(
            self._renderer.prompts(chats, room=max_tokens),
            lambda prompts: self._in_batches(
                prompts,
                widths=[len(prompt) + max_tokens for prompt in prompts],
                most=self._generated_tokens,
                run=partial(self._generate, max_tokens=max_tokens),
            ),
        )

    def label_logprobs(
        self, chats: Sequence[Sequence[ChatMessage]], *, labels: Sequence[str], primer: str
    ) -> list[LabelScores | BackendError]:
        """See ``LabelBackend.label_logprobs``. Raises DataError on a label of several tokens."""
        start, label_ids = self._renderer.label_ids(labels, primer)
        return answer_fitting(
            self._renderer.prompts(chats, room=0, primer=start),
            lambda prompts: self._in_batches(
                prompts,
                widths=[len(prompt) for prompt in prompts],
                most=self._scored_tokens,
                run=partial(self._label_scores, label_ids=label_ids),
            ),
        )

    def likelihoods(
        self, chats: Sequence[Sequence[ChatMessage]], *, answers: Sequence[str]
    ) -> list[Likelihood | BackendError]:
        """See ``LikelihoodBackend.likelihoods``."""
        return answer_fitting(
            self._renderer.given(chats, answers),
            lambda pairs: self._in_batches(
                pairs,
                widths=[len(pair.prompt) + len(pair.answer) for pair in pairs],
                most=self._scored_tokens,
                run=self._likelihoods,
            ),
        )

    def _in_batches(
        self,
        prompts: Sequence[P],
        *,
        widths: Sequence[int],
        most: int,
        run: Callable[[list[P]], Sequence[T]],
    ) -> list[T]:
        batches: list[list[int]] = []
        for i in sorted(range(len(prompts)), key=lambda i: widths[i]):
            # The widest of its batch, by the sorting.
            if not batches or (len(batches[-1]) + 1) * widths[i] > most:
                batches.append([])
            batches[-1].append(i)
        found: dict[int, T] = {}
        for batch in batches:
            with backend_boundary(f"transformers, on {len(batch)} prompts"):
                found |= zip(batch, run([prompts[i] for i in batch]), strict=True)
        return [found[i] for i in range(len(prompts))]

    @torch.inference_mode()
    def _generate(self, prompts: Sequence[list[int]], *, max_tokens: int) -> list[TextCompletion]:
        ids, mask = self._padded(prompts)
        output = self._model.generate(
            ids,
            attention_mask=mask,
            max_new_tokens=max_tokens,
        )
        echoed = 1 if self._renderer.encoder_decoder else ids.shape[1]
        return [
            self._completion(prompt, row)
            for prompt, row in zip(prompts, output[:, echoed:].tolist(), strict=True)
        ]

    @torch.inference_mode()
    def _label_scores(
        self, prompts: Sequence[list[int]], *, label_ids: Sequence[int]
    ) -> list[LabelScores]:
        if self._renderer.encoder_decoder:
            last = self._last_logprobs(prompts, [[]] * len(prompts))[:, -1]
        else:
            last = self._after_prompts(prompts)
        return [
            LabelScores(logprobs=tuple(row), prompt_tokens=len(prompt))
            for prompt, row in zip(prompts, last[:, label_ids].tolist(), strict=True)
        ]

    def _after_prompts(self, prompts: Sequence[list[int]]) -> Tensor:
        """Log-probs [B, V] of the token after each prompt of a decoder."""
        width = max(map(len, prompts))
        # Padded behind, where causal attention does not look: no mask, so the fast kernel.
        ids = torch.tensor([[*prompt, *[self._pad] * (width - len(prompt))] for prompt in prompts])
        ends = sorted({len(prompt) - 1 for prompt in prompts})
        place = [ends.index(len(prompt) - 1) for prompt in prompts]
        device = self._model.device
        output = self._model(
            ids.to(device), use_cache=False, logits_to_keep=torch.tensor(ends, device=device)
        )
        logits: Tensor = output.logits[torch.arange(len(prompts)), place]
        return logits.float().log_softmax(dim=-1)

    def _likelihoods(self, pairs: Sequence[Given]) -> list[Likelihood]:
        answers = [pair.answer for pair in pairs]
        logprobs = self._last_logprobs([pair.prompt for pair in pairs], answers)
        found = []
        for row, (prompt, answer) in zip(logprobs, pairs, strict=True):
            # The last position is that after the answer.
            at = row[-len(answer) - 1 : -1].gather(1, torch.tensor(answer)[:, None].to(row.device))
            found.append(Likelihood(logprobs_T=tuple(at[:, 0].tolist()), prompt_tokens=len(prompt)))
        return found

    @torch.inference_mode()
    def _last_logprobs(self, prompts: Sequence[list[int]], answers: Sequence[list[int]]) -> Tensor:
        """Log-probs [B, T, V] from the last prompt token (or the decoder's start) to the last
        answer token; shorter answers are aligned with the end."""
        if self._renderer.encoder_decoder:
            ids, mask = self._padded(prompts)
            start = self._model.config.decoder_start_token_id
            given, given_mask = self._padded([[start, *answer] for answer in answers])
            output = self._model(
                ids,
                attention_mask=mask,
                decoder_input_ids=given,
                decoder_attention_mask=given_mask,
            )
            logits: Tensor = output.logits
        else:
            ids, mask = self._padded([[*p, *a] for p, a in zip(prompts, answers, strict=True)])
            positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
            keep = max(map(len, answers)) + 1
            output = self._model(
                ids, attention_mask=mask, position_ids=positions, logits_to_keep=keep
            )
            logits = output.logits
        return logits.float().log_softmax(dim=-1)

    def _padded(self, prompts: Sequence[list[int]]) -> tuple[Tensor, Tensor]:
        width = max(map(len, prompts))
        ids = torch.tensor([[self._pad] * (width - len(p)) + p for p in prompts])
        mask = torch.tensor([[0] * (width - len(p)) + [1] * len(p) for p in prompts])
        return ids.to(self._model.device), mask.to(self._model.device)

    def _completion(self, prompt: Sequence[int], generated: Sequence[int]) -> TextCompletion:
        end = next(
            (i + 1 for i, token in enumerate(generated) if token in self._renderer.stop), None
        )
        kept = generated[:end]
        return TextCompletion(
            text=self._renderer.answer(prompt, kept),
            prompt_tokens=len(prompt),
            generated_tokens=len(kept),
        )


def _load(model_path: str | Path, adapter: Path | None, dtype: torch.dtype) -> Any:
    from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForSeq2SeqLM

    config = AutoConfig.from_pretrained(model_path)
    kind = AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM
    model = load_whole(kind, model_path, dtype=dtype)
    return model if adapter is None else with_adapter(model, adapter)
