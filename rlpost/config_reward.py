"""What may happen between a reward and its credit, and which groups a step is made of."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from rlpost.config_section import Section


class Unlikeliness(Section):
    beta: float = Field(default=0.25, gt=0, lt=1)
    """The likeliest completion's reward loses this share (arXiv 2506.02355); 0.25 is published."""
    formula: Literal["paper", "released"] = "paper"
    """``released`` takes beta / group_size less from everyone, as the authors' code does."""
    likelihood: Literal["sum", "mean"] = "sum"
    """Order siblings by the log-probability of the sequence, or by its mean over tokens (as the
    authors' code does)."""
    ties: Literal["average", "first"] = "average"
    """Equally likely siblings share a rank, or the earlier one counts as less likely."""


class Overlong(Section):
    margin: int = Field(ge=1)
    """The punishment grows over this many last tokens before rollout.max_new_tokens (DAPO, arXiv
    2503.14476, eq. 13)."""
    penalty: float = Field(default=1.0, gt=0)
    """What a completion at the limit loses."""


class RewardConfig(Section):
    unlikeliness: Unlikeliness | None = None
    """Lowers the reward of likely completions, so that rare correct ones gain."""
    overlong: Overlong | None = None
    """Lowers the reward of completions close to the length limit, after ``unlikeliness``."""
    truncated: Literal["train", "mask"] = "train"
    """``mask``: a completion cut at the limit stays in its group's baseline, but the update leaves
    it out (DAPO's overlong filtering)."""

    def transforms(self, *, limit: int) -> tuple[dict[str, Any], ...]:
        """Choices from ``reward_shaping.TRANSFORMS``, in order; ``limit``: longest completion."""
        chosen: list[dict[str, Any]] = []
        if self.unlikeliness is not None:
            chosen.append({"kind": "unlikeliness", **self.unlikeliness.model_dump()})
        if self.overlong is not None:
            chosen.append({"kind": "overlong", "limit": limit, **self.overlong.model_dump()})
        return tuple(chosen)


class DynamicSamplingConfig(Section):
    max_ratio: float = Field(default=3.0, gt=1)
    """A step may try this many times ``groups_per_step`` prompts; when that is not enough, the run
    stops."""
