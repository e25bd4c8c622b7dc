"""What is known of sampled tokens before the policy that learns looks at them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, fields, replace

import torch
from torch import Tensor

from rlpost.batch.segment_ops import segment_sum, spread
from rlpost.types import Sample


@dataclass(frozen=True, slots=True, kw_only=True)
class SampledTokens:
    """The T completion tokens of S sequences that lie side by side.

    Fields are named by their axis, ``_T`` or ``_S``; ``take`` relies on it.
    """

    behaviour_T: Tensor
    """Log-probability under the policy that sampled, as its engine reported it (float32)."""
    old_T: Tensor
    """Log-probability under the policy that the objective's ratio is taken against."""
    advantages_T: Tensor
    lengths_S: Tensor
    """Tokens of each sequence; they sum to T."""
    segment_start_T: Tensor | None = None
    """True where a run of tokens that shares an importance ratio begins; None: a run is a
    sequence."""
    weights_T: Tensor | None = None
    """Off-policy correction of each token's loss; None is 1."""
    loss_mask_T: Tensor | None = None
    """False where a mask takes a token's objective away; None keeps all."""
    valid_mask_T: Tensor | None = None
    """False where a token is as if it had never been sampled, in denominators too; None is all."""
    reference_T: Tensor | None = None
    """Log-probability under the reference policy, where a KL penalty asks for it."""

    @classmethod
    def of(cls, samples: Sequence[Sample], *, device: torch.device | str = "cpu") -> SampledTokens:
        """As the engine reported them: the old policy is the behaviour policy."""

        def floats(rows: Sequence[Sequence[float]]) -> Tensor:
            flat = [value for row in rows for value in row]
            return torch.tensor(flat, dtype=torch.float32, device=device)

        behaviour_T = floats([sample.logprobs_T for sample in samples])
        return cls(
            behaviour_T=behaviour_T,
            old_T=behaviour_T,
            advantages_T=floats([sample.advantages_T for sample in samples]),
            lengths_S=torch.tensor(
                [len(sample.completion_ids) for sample in samples], dtype=torch.int64, device=device
            ),
            segment_start_T=_starts(samples, device)
            if any(s.segments_R for s in samples)
            else None,
        )

    @property
    def counts_S(self) -> Tensor:
        """Tokens of each sequence that count in denominators."""
        if self.valid_mask_T is None:
            return self.lengths_S
        return segment_sum(self.valid_mask_T.double(), self.lengths_S).long()

    @property
    def has_signal_S(self) -> Tensor:
        """Whether a sequence has a token with an advantage that no weight or mask takes away."""
        live_T = self.advantages_T != 0
        if self.weights_T is not None:
            live_T = live_T & (self.weights_T != 0)
        if self.loss_mask_T is not None:
            live_T = live_T & self.loss_mask_T
        return segment_sum(live_T.double(), self.lengths_S) > 0

    @property
    def lengths_R(self) -> Tensor:
        """Tokens of each run that shares an importance ratio; they sum to T."""
        if self.segment_start_T is None:
            return self.lengths_S
        (starts_R,) = self.segment_start_T.nonzero(as_tuple=True)
        return starts_R.diff(append=starts_R.new_tensor([len(self.segment_start_T)]))

    def places(self, indices: Sequence[int]) -> Tensor:
        """Positions on the token axis of the sequences at ``indices``, in that order."""
        chosen_S = torch.tensor(indices, dtype=torch.int64, device=self.lengths_S.device)
        starts_S = self.lengths_S.cumsum(0) - self.lengths_S
        lengths_S = self.lengths_S[chosen_S]
        moved_S = starts_S[chosen_S] - (lengths_S.cumsum(0) - lengths_S)
        moved_T = spread(moved_S, lengths_S)
        return moved_T + torch.arange(len(moved_T), device=moved_T.device)

    def take(self, indices: Sequence[int]) -> SampledTokens:
        """The sequences at ``indices``, in that order."""
        chosen_S = torch.tensor(indices, dtype=torch.int64, device=self.lengths_S.device)
        index = {"T": self.places(indices), "S": chosen_S}
        taken = {
            field.name: value[index[field.name.rsplit("_", 1)[1]]]
            for field in fields(self)
            if (value := getattr(self, field.name)) is not None
        }
        return replace(self, **taken)


def _starts(samples: Sequence[Sample], device: torch.device | str) -> Tensor:
    """[T]: whether a token is the first of its run."""
    lengths = [n for s in samples for n in s.segments_R or (len(s.completion_ids),) if n]
    starts = [place == 0 for length in lengths for place in range(length)]
    return torch.tensor(starts, dtype=torch.bool, device=device)
