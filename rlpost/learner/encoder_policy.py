"""The ranking policy as the learner sees it: packed problems in, log-probabilities of ranks out."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from rankers.training import plackett_luce
from rlpost.batch.packing import Layout, TokenBatch
from rlpost.models.encoder import Encoder
from rlpost.models.encoder_rows import Row, split_rows


class EncoderPolicy:
    """Plackett-Luce on ``scale`` x cosine of a bi-encoder, in the place of a language model.

    A row that several problems of a micro-batch show is embedded once.
    """

    def __init__(self, encoder: Encoder, *, scale: float) -> None:
        self._encoder = encoder
        self._scale = scale

    @property
    def device(self) -> torch.device:
        return self._encoder.device

    @property
    def layout(self) -> Layout:
        return Layout()

    def hidden(self, batch: TokenBatch) -> Tensor:
        """Embeddings [N, D] of the rows that the batch's problems show, each once."""
        return self._encoder.embed(_distinct_rows(_problems(batch)))

    def read(
        self, hidden: Tensor, batch: TokenBatch, *, temperature: float
    ) -> tuple[Tensor, Tensor]:
        """(logprobs_T, entropy_T) of the ranks of the batch's rankings, in nats.

        The siblings of a problem must fill equally many ranks, as one engine call makes them.
        """
        problems = _problems(batch)
        places = {row: i for i, row in enumerate(_distinct_rows(problems))}
        lengths = [len(block.completions) * block.completions[0] for block in batch.blocks]
        logprobs, entropies = [], []
        for rows, block, orders_T in zip(
            problems, batch.blocks, torch.split(batch.targets_T, lengths), strict=True
        ):
            query, *candidates = (places[row] for row in rows)
            scores_K = self._scale / temperature * (hidden[candidates] @ hidden[query])
            orders_SR = orders_T.view(len(block.completions), -1)
            logprobs.append(plackett_luce.rank_logprobs(scores_K, orders_SR).flatten())
            entropies.append(plackett_luce.rank_entropies(scores_K, orders_SR).flatten())
        return torch.cat(logprobs), torch.cat(entropies)

    def logprobs(self, batch: TokenBatch, *, temperature: float) -> tuple[Tensor, Tensor]:
        """``read`` of ``hidden``."""
        return self.read(self.hidden(batch), batch, temperature=temperature)

    def alone(self, batch: TokenBatch) -> Tensor:
        """Embeddings do not depend on each other."""
        return self.logprobs(batch, temperature=1.0)[0]


def _distinct_rows(problems: Sequence[Sequence[Row]]) -> list[Row]:
    return list(dict.fromkeys(row for rows in problems for row in rows))


def _problems(batch: TokenBatch) -> list[list[Row]]:
    """The rows of each block's prompt."""
    ids = batch.input_ids_L.tolist()
    problems = []
    start = 0
    for block in batch.blocks:
        problems.append(split_rows(ids[start : start + block.prompt]))
        start += block.length
    return problems
