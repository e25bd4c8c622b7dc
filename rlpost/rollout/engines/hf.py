"""The reference engine on transformers and PEFT: slow, exact, everywhere; the tests' oracle."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import torch

from rankers.errors import UserError, boundary
from rlpost.errors import EngineError
from rlpost.models.loading import Dtype, context_length, load_base, load_tokenizer, stop_ids
from rlpost.rollout.engines.requests import check_request, completion
from rlpost.types import Completion, PolicyRef, Prompt, Sampling
from rlpost.weights.adapter_files import read_adapter

AGREES = {"float32": 1e-4, "bfloat16": 0.1}
"""Nats between a token as it was sampled and as it is scored that rounding explains."""
AT_MOST = 100.0
"""Times that, beyond which no way of sampling is right."""


class _Way(NamedTuple):
    """How prompts of several lengths are sampled."""

    together: bool
    """Filled up on the left to one length: fastest, and wrong where the filling is read."""
    cached: bool
    """With keys and values kept from token to token, which not every model hands out."""


WAYS = (_Way(True, True), _Way(False, True), _Way(False, False))


class HfEngine:
    """Samples with a key-value cache, one random stream per sibling.

    A token is drawn by inverting the fp64 cumulative distribution at a uniform number of its
    sibling's own generator, so siblings do not depend on what else is in the batch (up to float
    rounding of the logits). Log-probabilities are fp32, at the sampling distribution; for greedy
    sampling, at temperature 1.
    """

    def __init__(
        self,
        model_path: str | Path,
        *,
        dtype: Dtype = "float32",
        max_length: int | None = None,
        max_sequences: int = 64,
    ) -> None:
        """``max_length`` bounds prompt plus completion (default: the model's context); at most
        ``max_sequences`` are sampled at once. Runs on CPU.

        Raises UserError for a model that transformers does not sample from as it scores.
        """
        self._tokenizer = load_tokenizer(model_path)
        self._stop = stop_ids(model_path, self._tokenizer)
        self._model: Any = load_base(model_path, dtype)
        self._context = context_length(model_path, max_length)
        self._max_sequences = max_sequences
        self._shapes = {n: tuple(p.shape) for n, p in self._model.named_parameters()}
        self._version = 0
        self._way = WAYS[0]
        self._way = self._right_way(AGREES[dtype])

    @property
    def version(self) -> int:
        return self._version

    @torch.inference_mode()
    def generate(
        self, prompts_P: Sequence[Prompt], *, seeds_P_G: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[list[Completion]]:
        """See ``Engine.generate``."""
        check_request(prompts_P, seeds_P_G, sampling, context=self._context)
        jobs = [
            (prompt.token_ids, seed)
            for prompt, seeds_G in zip(prompts_P, seeds_P_G, strict=True)
            for seed in seeds_G
        ]
        done: list[Completion] = []
        with boundary(EngineError, "sampling with transformers"):
            for start in range(0, len(jobs), self._max_sequences):
                done += self._sample(jobs[start : start + self._max_sequences], sampling)
        flat = iter(done)
        return [[next(flat) for _ in seeds_G] for seeds_G in seeds_P_G]

    @torch.inference_mode()
    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        """See ``Engine.score``."""
        if not completion_ids:
            return []
        with boundary(EngineError, "scoring with transformers"):
            input_ids = torch.tensor([[*prompt_ids, *completion_ids]])
            logits_TV = self._model(input_ids, logits_to_keep=len(completion_ids) + 1).logits[
                0, :-1
            ]
            logprobs_TV = torch.log_softmax(logits_TV.float(), dim=-1)
            target_T = torch.tensor(completion_ids)[:, None]
            return [float(x) for x in logprobs_TV.gather(1, target_T)[:, 0]]

    def load(self, policy: PolicyRef) -> None:
        """See ``Engine.load``. PEFT applies the adapter beside the base weights, never merged."""
        from peft import PeftModel

        read_adapter(policy, self._shapes)
        with boundary(EngineError, f"loading {policy.path} with PEFT"):
            if isinstance(self._model, PeftModel):
                self._model = self._model.unload()
            self._model = PeftModel.from_pretrained(self._model, policy.path).eval()
        self._version = policy.version

    def close(self) -> None:
        """Nothing to release beyond what the garbage collector does."""

    @torch.inference_mode()
    def _right_way(self, tolerance: float) -> _Way:
        """The fastest way whose log-probabilities are those of scoring, on two short prompts."""
        jobs = [(tuple(range(3, 27)), 0), (tuple(range(5, 9)), 1)]
        gaps: dict[_Way, float] = {}
        trouble = ""
        for way in WAYS:
            self._way = way
            try:
                done = self._sample(jobs, Sampling(temperature=1.0, max_tokens=8))
                scores = [
                    self.score(ids, c.token_ids) for (ids, _), c in zip(jobs, done, strict=True)
                ]
            except Exception as error:
                trouble = f"{type(error).__name__}: {error}"
                continue
            gaps[way] = max(
                abs(got - want)
                for c, row in zip(done, scores, strict=True)
                for got, want in zip(c.logprobs_T, row, strict=True)
            )
            if gaps[way] <= tolerance:
                return way
        best = min(gaps, key=gaps.__getitem__, default=None)
        if best is not None and gaps[best] <= AT_MOST * tolerance:
            return best
        reason = f"{gaps[best]:.2g} nats" if best is not None else trouble
        raise UserError(
            f"{type(self._model).__name__} is sampled by transformers otherwise than it is scored "
            f"({reason}): set rollout.engine=vllm, or use another model"
        )

    def _sample(
        self, jobs_B: Sequence[tuple[Sequence[int], int]], sampling: Sampling
    ) -> list[Completion]:
        """Sample one batch; ``jobs_B`` are (prompt tokens, seed)."""
        if self._way.together:
            return self._sample_batch(jobs_B, sampling)
        done: dict[int, Completion] = {}
        for length in sorted({len(ids) for ids, _ in jobs_B}):
            places = [b for b, (ids, _) in enumerate(jobs_B) if len(ids) == length]
            sampled = self._sample_batch([jobs_B[b] for b in places], sampling)
            done.update(zip(places, sampled, strict=True))
        return [done[b] for b in range(len(jobs_B))]

    def _sample_batch(
        self, jobs_B: Sequence[tuple[Sequence[int], int]], sampling: Sampling
    ) -> list[Completion]:
        uniform_BT = torch.stack(
            [
                torch.rand(
                    sampling.max_tokens,
                    dtype=torch.float64,
                    generator=torch.Generator().manual_seed(seed),
                )
                for _, seed in jobs_B
            ]
        )
        input_BL, mask_BL = _left_padded([ids for ids, _ in jobs_B])
        position_BL = (mask_BL.cumsum(1) - 1).clamp(min=0)
        tokens_B: list[list[int]] = [[] for _ in jobs_B]
        logprobs_B: list[list[float]] = [[] for _ in jobs_B]
        alive = set(range(len(jobs_B)))
        cache: Any = None
        for t in range(sampling.max_tokens):
            out = self._model(
                input_BL,
                attention_mask=mask_BL,
                position_ids=position_BL,
                past_key_values=cache,
                use_cache=self._way.cached,
                logits_to_keep=1,
            )
            if self._way.cached:
                cache = out.past_key_values
            token_B, logprob_B = draw(out.logits[:, -1], uniform_BT[:, t], sampling.temperature)
            for b in tuple(alive):
                tokens_B[b].append(int(token_B[b]))
                logprobs_B[b].append(float(logprob_B[b]))
                if tokens_B[b][-1] in self._stop:
                    alive.remove(b)
            if not alive:
                break
            mask_BL = torch.cat([mask_BL, mask_BL.new_ones(len(jobs_B), 1)], dim=1)
            next_BL, after_BL = token_B[:, None], position_BL[:, -1:] + 1
            if self._way.cached:
                input_BL, position_BL = next_BL, after_BL
            else:
                input_BL = torch.cat([input_BL, next_BL], dim=1)
                position_BL = torch.cat([position_BL, after_BL], dim=1)
        return [
            completion(
                tokens,
                logprobs,
                version=self._version,
                stop=self._stop,
                tokenizer=self._tokenizer,
                prompt_ids=prompt_ids,
            )
            for (prompt_ids, _), tokens, logprobs in zip(jobs_B, tokens_B, logprobs_B, strict=True)
        ]


def draw(
    logits_BV: torch.Tensor, uniform_B: torch.Tensor, temperature: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """Next token of each row and its log-probability.

    Temperature 0 takes the largest logit, and reports its log-probability at temperature 1.
    """
    logprobs_BV = torch.log_softmax(logits_BV.float() / (temperature or 1.0), dim=-1)
    if temperature == 0:
        token_B = logprobs_BV.argmax(dim=-1)
    else:
        cdf_BV = logprobs_BV.double().exp().cumsum(dim=-1)
        # The sum ends near 1: scale the mark, so that no draw falls beyond the last token.
        mark_B1 = (uniform_B * cdf_BV[:, -1])[:, None]
        token_B = torch.searchsorted(cdf_BV, mark_B1, right=True)[:, 0]
    return token_B, logprobs_BV.gather(1, token_B[:, None])[:, 0]


def _left_padded(rows: Sequence[Sequence[int]]) -> tuple[torch.Tensor, torch.Tensor]:
    """Token ids and mask [B, L], right-aligned."""
    width = max(len(row) for row in rows)
    input_BL = torch.zeros(len(rows), width, dtype=torch.long)
    mask_BL = torch.zeros(len(rows), width, dtype=torch.long)
    for b, row in enumerate(rows):
        input_BL[b, width - len(row) :] = torch.tensor(row)
        mask_BL[b, width - len(row) :] = 1
    return input_BL, mask_BL
