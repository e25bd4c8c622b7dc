"""What every engine checks and builds the same way, whatever does the sampling."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from rankers.errors import UserError
from rankers.prompting.chat import answer_text
from rlpost.errors import EngineError
from rlpost.types import Completion, Prompt, Sampling

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase


def check_request(
    prompts_P: Sequence[Prompt],
    seeds_P_G: Sequence[Sequence[int]],
    sampling: Sampling,
    *,
    context: int,
) -> None:
    """Refuse what cannot be sampled whole. ``context`` counts prompt and completion tokens.

    Raises UserError when a prompt is empty or leaves less than ``max_tokens`` of the context.
    """
    if len(prompts_P) != len(seeds_P_G):
        raise EngineError(f"{len(prompts_P)} prompts came with {len(seeds_P_G)} lists of seeds")
    for prompt in prompts_P:
        length = len(prompt.token_ids)
        if not length:
            raise UserError(f"prompt {prompt.id!r} has no tokens")
        if length + sampling.max_tokens > context:
            raise UserError(
                f"prompt {prompt.id!r} has {length} tokens, which with {sampling.max_tokens} new "
                f"ones exceeds the context of {context}: shorten it, or raise the context"
            )


def completion(
    token_ids: Sequence[int],
    logprobs_T: Sequence[float],
    *,
    version: int,
    stop: frozenset[int],
    tokenizer: PreTrainedTokenizerBase,
    prompt_ids: Sequence[int] = (),
) -> Completion:
    """One sampled sequence, all of whose tokens came from policy ``version``.

    Its text begins with what of ``prompt_ids`` belongs to it
    (``rankers.prompting.chat.answer_text``).
    """
    if not token_ids or len(token_ids) != len(logprobs_T):
        raise EngineError(
            f"the engine returned {len(token_ids)} tokens, {len(logprobs_T)} log-probs"
        )
    return Completion(
        token_ids=tuple(token_ids),
        logprobs_T=tuple(logprobs_T),
        versions_T=(version,) * len(token_ids),
        finish="stop" if token_ids[-1] in stop else "length",
        text=answer_text(tokenizer, prompt_ids, token_ids),
    )
