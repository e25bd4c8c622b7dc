"""A run whose rewards taught nothing: every advantage of every step was 0, or masked away."""

from __future__ import annotations

from collections.abc import Iterable

from rankers.files.jsonl import Record

PATIENCE = 10
"""Steps after which a run that learned nothing so far is warned about."""


def why_no_signal(steps: Iterable[Record]) -> str | None:
    """The sentence about a run with these steps of ``metrics.jsonl``; None if any taught something.

    Steps are as many as there are; a run without steps has nothing to say.
    """
    found = list(steps)
    if not found or any(_teaching(step) for step in found):
        return None
    if any(step.get("frac_degenerate_groups", 1.0) < 1 for step in found):
        cause = (
            "rewards differed between siblings, but algorithm.credit and the algorithm's masks "
            "made nothing of it"
        )
        remedy = "choose a credit that reads what differs, or wider masks"
    else:
        means = {step.get("reward/mean") for step in found}
        shown = f" ({means.pop():g} all the time)" if len(means) == 1 and None not in means else ""
        cause = f"the completions of each prompt had equal rewards{shown}"
        remedy = (
            "look at the completions under rollouts/, choose prompts that the policy solves now "
            "and then, warm-start it, or raise rollout.group_size or rollout.temperature"
        )
    return f"no group taught anything in {len(found)} steps: {cause}: {remedy}"


def _teaching(step: Record) -> bool:
    share = step.get("frac_teaching_groups")
    if share is None:
        share = 1.0 - step.get("frac_degenerate_groups", 0.0)
    return bool(share > 0)
