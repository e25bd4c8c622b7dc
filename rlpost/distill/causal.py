"""Students that are causal language models: FIRST and full ranking, on packed rows."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Protocol, cast

import torch
from torch import Tensor
from torch.nn import Parameter

from rankers.errors import UserError
from rankers.methods.first import first_messages
from rankers.prompting.chat import chat_template
from rankers.prompting.templates import (
    FIRST_LABELS,
    ChatMessage,
    FirstTemplate,
    Template,
    listwise_answer,
    listwise_messages,
)
from rankers.training.losses import first_joint, importance_nll
from rlpost.batch.packing import batches
from rlpost.distill.lists import TeacherList
from rlpost.learner.decoder import CausalLM
from rlpost.learner.packed_policy import PackedPolicy
from rlpost.models.loading import Dtype, load_base
from rlpost.models.save import save_model
from rlpost.types import Sample
from rlpost.weights.lora import LoraSettings, add_lora
from rlpost.weights.publish import write_adapter

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

Head = Callable[[Tensor, list[int]], Tensor]
"""Hidden states and token ids -> the logits of those tokens, [T, K]."""


class Recipe(Protocol):
    """What tells one causal student from another."""

    def chat(self, problem: TeacherList) -> Sequence[ChatMessage]: ...

    def answer(self, problem: TeacherList) -> list[int]:
        """Token ids of the answer to learn, without the end of the turn."""
        ...

    def loss(self, problem: TeacherList, nll_T: Tensor, hidden_T_D: Tensor, head: Head) -> Tensor:
        """Of one list, from what the model says at the answer's tokens; ``head`` gives logits."""
        ...


class CausalStudent:
    """A causal model, trained whole or by adapters, on one list at a time."""

    def __init__(
        self,
        model_path: str | Path,
        *,
        recipe: Recipe,
        tokenizer: PreTrainedTokenizerBase,
        lora: LoraSettings | None,
        dtype: Dtype,
        seed: int,
        max_length: int,
        tokens_per_batch: int,
        chat_options: Mapping[str, object] | None = None,
    ) -> None:
        """``chat_options`` are the chat template's."""
        self._chat = chat_template(tokenizer, chat_options)
        self._tokenizer, self._recipe = tokenizer, recipe
        self._max_length, self._tokens_per_batch = max_length, tokens_per_batch
        base = load_base(model_path, dtype)
        self._base = base
        self._adapters = None if lora is None else add_lora(base, lora, seed=seed)
        self._policy = PackedPolicy(cast(CausalLM, base))

    def parameters(self) -> list[Parameter]:
        """What is trained."""
        return [p for p in self._base.parameters() if p.requires_grad]

    def losses(self, lists: Sequence[TeacherList]) -> Iterator[Tensor]:
        """The mean loss of ``lists`` in parts that add up to it, each with a graph of its own.

        Raises UserError for a list that does not fit the model.
        """
        samples = [self._sample(problem) for problem in lists]
        policy = self._policy
        for batch in batches(
            samples, budget=self._tokens_per_batch, layout=policy.layout, device=policy.device
        ):
            hidden_T_D = policy.hidden(batch)
            logprobs_T, _ = policy.read(hidden_T_D, batch, temperature=1.0)
            lengths = [len(samples[i].completion_ids) for i in batch.indices]
            parts = zip(
                batch.indices,
                torch.split(-logprobs_T, lengths),
                torch.split(hidden_T_D, lengths),
                strict=True,
            )
            losses = [
                self._recipe.loss(lists[i], nll, hidden, policy.logits) for i, nll, hidden in parts
            ]
            yield torch.stack(losses).sum() / len(lists)

    def save(self, folder: Path) -> None:
        """``folder/model``, complete and merged; with adapters, these too in ``folder/adapter``."""
        if self._adapters is not None:
            write_adapter(self._adapters, folder / "adapter")
            self._adapters.merge_and_unload()
        save_model(self._base, self._tokenizer, folder / "model", dtype=torch.float32)

    def _sample(self, problem: TeacherList) -> Sample:
        chat = self._chat(self._recipe.chat(problem))
        answer = [*self._recipe.answer(problem), int(cast(int, self._tokenizer.eos_token_id))]
        if len(chat) + len(answer) > self._max_length:
            raise UserError(
                f"a list needs {len(chat) + len(answer)} tokens and model.max_length is "
                f"{self._max_length}: raise it, or lower candidates or passage_tokens"
            )
        return Sample(
            prompt_ids=tuple(chat),
            completion_ids=tuple(answer),
            logprobs_T=(0.0,) * len(answer),
            advantages_T=(0.0,) * len(answer),
        )


class First:
    """FIRST (arXiv 2406.15657): the answer's text, and RankNet on the first letter's logits."""

    def __init__(
        self,
        tokenizer: PreTrainedTokenizerBase,
        *,
        num: int,
        weight: float,
        template: FirstTemplate = "rank_zephyr",
    ) -> None:
        """Raises UserError when one of ``num`` labels is not one token of the model."""
        self._encode, self._weight, self._template = _encoder(tokenizer), weight, template
        self._written = FIRST_LABELS[template]
        self._primer = self._encode(self._written.before)
        self._labels = [self._label(label) for label in self._written.tokens[:num]]

    def chat(self, problem: TeacherList) -> list[ChatMessage]:
        return first_messages(problem.query, problem.passages, template=self._template)

    def answer(self, problem: TeacherList) -> list[int]:
        best, *others = problem.order
        before, tokens, after = self._written
        rest = "".join(f" > {before}{tokens[i]}{after}" for i in others)
        # The label a token of its own, as it is when its log-probability is read.
        return [*self._primer, self._labels[best], *self._encode(f"{after}{rest}")]

    def loss(self, problem: TeacherList, nll_T: Tensor, hidden_T_D: Tensor, head: Head) -> Tensor:
        place = len(self._primer)
        scores_1K = head(hidden_T_D[place : place + 1], self._labels)
        ranks_1K = torch.tensor([problem.ranks], device=scores_1K.device)
        return first_joint(nll_T.mean(), scores_1K.float(), ranks_1K, weight=self._weight)

    def _label(self, label: str) -> int:
        before = self._written.before
        ids = self._encode(before + label)
        if ids[:-1] != self._primer:
            raise UserError(
                f"the label {label!r} after {before!r} is not one token of this model: FIRST "
                "needs another one, or another student.template"
            )
        return ids[-1]


class Full:
    """Full ranking (arXiv 2412.14574): the answer's text, early ranks with larger weights."""

    def __init__(self, tokenizer: PreTrainedTokenizerBase, *, template: Template) -> None:
        """Raises UserError when the separator of an answer is not a token of its own."""
        self._encode, self._template = _encoder(tokenizer), template
        found = [i for i in self._encode("[1] > [2]") if str(tokenizer.decode([i])).strip() == ">"]
        if len(found) != 1:
            raise UserError(
                "'>' is not a token of its own in this model's answers, by which ranks are "
                "counted: use another model, or student.kind=first"
            )
        self._separator = found[0]

    def chat(self, problem: TeacherList) -> list[ChatMessage]:
        return listwise_messages(problem.query, problem.passages, template=self._template)

    def answer(self, problem: TeacherList) -> list[int]:
        return self._encode(listwise_answer(problem.order))

    def loss(self, problem: TeacherList, nll_T: Tensor, hidden_T_D: Tensor, head: Head) -> Tensor:
        labels_T = torch.tensor(self.answer(problem), device=nll_T.device)
        end = nll_T[-1:]
        weighted = importance_nll(nll_T[:-1], labels_T, self._separator) * len(labels_T)
        return (weighted + end.sum()) / len(nll_T)


def _encoder(tokenizer: PreTrainedTokenizerBase) -> Callable[[str], list[int]]:
    def encode(text: str) -> list[int]:
        ids: list[int] = tokenizer.encode(text, add_special_tokens=False)
        return ids

    return encode
