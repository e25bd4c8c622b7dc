"""The engine of ranking policies: a bi-encoder's scores, and rankings drawn from them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor

from rankers.errors import boundary
from rankers.prompting.templates import listwise_answer
from rankers.training import plackett_luce
from rlpost.errors import EngineError
from rlpost.models.encoder import Encoder
from rlpost.models.encoder_rows import Row, split_rows
from rlpost.models.loading import Dtype
from rlpost.types import Completion, PolicyRef, Prompt, Sampling
from rlpost.weights.adapter_files import read_adapter
from rlpost.weights.lora import merged


class EncoderEngine:
    """Samples rankings by Plackett-Luce on ``scale`` x cosine (Neural PG-RANK, arXiv 2310.04407).

    A completion is a ranking: its tokens are candidates by position, from 0, best first; at most
    ``sampling.max_tokens`` of them, since ranks below the depth of a measure only add noise to its
    gradient. A row is embedded once for as long as the weights stay, whoever shows it.
    """

    def __init__(self, model_path: str | Path, *, scale: float, dtype: Dtype = "float32") -> None:
        self._encoder = Encoder(model_path, dtype=dtype)
        self._base = {
            name: tensor.detach().float().clone()
            for name, tensor in self._encoder.backbone.state_dict().items()
        }
        self._shapes = {name: tuple(tensor.shape) for name, tensor in self._base.items()}
        self._scale = scale
        self._version = 0
        self._embedded: dict[Row, Tensor] = {}

    @property
    def version(self) -> int:
        return self._version

    def generate(
        self, prompts_P: Sequence[Prompt], *, seeds_P_G: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[list[Completion]]:
        """See ``Engine.generate``. At temperature 0 all siblings are the order of the scores."""
        with boundary(EngineError, f"scoring {len(prompts_P)} ranking problems"):
            self._remember([row for p in prompts_P for row in split_rows(p.token_ids)])
            return [
                [self._ranking(self._scores(prompt.token_ids), seed, sampling) for seed in seeds_G]
                for prompt, seeds_G in zip(prompts_P, seeds_P_G, strict=True)
            ]

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        """See ``Engine.score``."""
        self._remember(split_rows(prompt_ids))
        order_1R = torch.tensor([completion_ids], dtype=torch.int64)
        logprobs: list[float] = plackett_luce.rank_logprobs(self._scores(prompt_ids), order_1R)[
            0
        ].tolist()
        return logprobs

    def load(self, policy: PolicyRef) -> None:
        """See ``Engine.load``."""
        adapter = read_adapter(policy, self._shapes)
        with boundary(EngineError, f"loading policy version {policy.version}"):
            self._encoder.backbone.load_state_dict(dict(merged(self._base, adapter)))
        self._embedded.clear()
        self._version = policy.version

    def close(self) -> None:
        self._embedded.clear()

    @torch.inference_mode()
    def _remember(self, rows: Sequence[Row]) -> None:
        new = [row for row in dict.fromkeys(rows) if row not in self._embedded]
        if new:
            self._embedded |= zip(new, self._encoder.embed(new), strict=True)

    def _scores(self, prompt_ids: Sequence[int]) -> Tensor:
        query, *candidates = (self._embedded[row] for row in split_rows(prompt_ids))
        return self._scale * (torch.stack(candidates) @ query)

    def _ranking(self, scores_K: Tensor, seed: int, sampling: Sampling) -> Completion:
        if sampling.temperature == 0:
            policy_K = scores_K
            order_1R = scores_K.argsort(descending=True, stable=True)[None, : sampling.max_tokens]
        else:
            policy_K = scores_K / sampling.temperature
            generator = torch.Generator().manual_seed(seed)
            order_1R = plackett_luce.sample_ranking(
                policy_K, 1, num_ranks=sampling.max_tokens, generator=generator
            )
        order = tuple(order_1R[0].tolist())
        return Completion(
            token_ids=order,
            logprobs_T=tuple(plackett_luce.rank_logprobs(policy_K, order_1R)[0].tolist()),
            versions_T=(self._version,) * len(order),
            finish="stop",
            text=listwise_answer(order),
        )
