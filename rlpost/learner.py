"""The learner: complete groups in, one optimizer step on LoRA adapters, metrics out."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, cast

import torch
from torch.nn import Parameter

from rlpost.aggregation import Totals
from rlpost.algorithm import Algorithm
from rlpost.batching import TokenBatch, batches, collate, num_tokens
from rlpost.errors import TrainingError
from rlpost.lora import set_dropout
from rlpost.metrics import fold, group_metrics
from rlpost.optim import OptimSettings, adamw, learning_rate
from rlpost.policy import CausalLM, PackedPolicy
from rlpost.publish import publish_adapter
from rlpost.token_stats import TokenStats
from rlpost.training_state import load_state, save_state
from rlpost.types import Group, PolicyRef, Sample

if TYPE_CHECKING:
    from peft import PeftModel


class _Part(NamedTuple):
    """The samples of one optimizer step, ready to train on."""

    totals: Totals
    batches: tuple[TokenBatch, ...]


class TorchLearner:
    """A ``ports.Learner`` on PyTorch, in this process.

    The ratio of the objective is pi_learner / pi_engine: behaviour log-probabilities are those the
    engine reported when it sampled, at the same ``temperature``.
    """

    def __init__(
        self,
        model: PeftModel,
        *,
        algorithm: Algorithm,
        optim: OptimSettings,
        tokens_per_batch: int,
        temperature: float,
        epochs: int = 1,
        minibatches: int = 1,
    ) -> None:
        """``model`` has adapters on it; ``tokens_per_batch`` bounds a packed micro-batch, and with
        it memory.

        Each step makes ``epochs * minibatches`` optimizer steps: the step's samples are cut into
        ``minibatches`` equal parts and gone over ``epochs`` times.
        """
        self._model = model
        self._policy = PackedPolicy(cast(CausalLM, model.get_base_model()))
        self._algorithm = algorithm
        self._optim = optim
        self._tokens_per_batch = tokens_per_batch
        self._temperature = temperature
        self._epochs = epochs
        self._minibatches = minibatches
        self._parameters = list(self.trained_parameters().values())
        self._optimizer = adamw(self._parameters, optim)
        self._version = 0
        self._updates = 0
        set_dropout(model, active=False)

    @property
    def version(self) -> int:
        return self._version

    @property
    def peft_model(self) -> PeftModel:
        """The model being trained; its attention expects packed rows."""
        return self._model

    def trained_parameters(self) -> dict[str, Parameter]:
        """The adapter matrices themselves, by name."""
        return {n: p for n, p in self._model.named_parameters() if p.requires_grad}

    def step(self, groups: Sequence[Group]) -> Mapping[str, float]:
        """Train on ``groups``, in ticket order whatever the order given; ``version`` grows by one.

        Raises TrainingError on a non-finite loss or gradient, before it reaches the weights.
        """
        ordered = sorted(groups, key=lambda group: group.ticket.index)
        samples = self._algorithm.credit(ordered)
        parts = [self._prepare(part) for part in self._parts(samples)]
        reports = [self._update(part) for _ in range(self._epochs) for part in parts]
        self._version += 1
        return {
            **group_metrics(ordered),
            **fold(reports),
            "tokens/step": float(sum(num_tokens(sample) for sample in samples)),
            "tokens/completion": float(sum(len(sample.completion_ids) for sample in samples)),
        }

    def _parts(self, samples: Sequence[Sample]) -> Iterator[Sequence[Sample]]:
        size = math.ceil(len(samples) / self._minibatches)
        for start in range(0, len(samples), size):
            yield samples[start : start + size]

    def _prepare(self, samples: Sequence[Sample]) -> _Part:
        """Pack ``samples`` and look at them with the weights as they are before the step."""
        totals = Totals.of(len(sample.completion_ids) for sample in samples)
        trained = samples
        if self._algorithm.kl is None:
            # Without credit a sample adds exactly nothing to the gradient; totals still count it.
            trained = [sample for sample in samples if any(sample.advantages_T)] or samples
        packed = batches(trained, budget=self._tokens_per_batch, device=self._policy.device)
        return _Part(totals, tuple(self._with_other_policies(batch) for batch in packed))

    @torch.no_grad()
    def _with_other_policies(self, batch: TokenBatch) -> TokenBatch:
        """Add what the algorithm needs of the proximal and of the reference policy."""
        behaviour_T, sampled = batch.behaviour_T, batch.sampled
        if not behaviour_T.isfinite().all():
            raise TrainingError(
                f"step {self._version + 1}: the engine reported a log-probability of "
                f"{float(behaviour_T[~behaviour_T.isfinite()][0])}; the weights are unchanged"
            )
        if self._algorithm.correction is not None:
            proximal_T, _ = self._policy.logprobs(batch, temperature=self._temperature)
            weights_T = self._algorithm.correction(proximal_T, behaviour_T, sampled.lengths_S)
            sampled = replace(sampled, old_T=proximal_T, weights_T=weights_T)
        if self._algorithm.kl is not None:
            with self._model.disable_adapter():
                reference_T, _ = self._policy.logprobs(batch, temperature=self._temperature)
            sampled = replace(sampled, reference_T=reference_T)
        return replace(batch, sampled=sampled)

    def _update(self, part: _Part) -> dict[str, float]:
        """One optimizer step on a part of the step's samples."""
        stats = TokenStats()
        loss = 0.0
        self._zero_gradients()
        set_dropout(self._model, active=True)
        for batch in part.batches:
            loss += self._backward(batch, part.totals, stats)
        set_dropout(self._model, active=False)
        norm = self._clip_gradients(loss)
        rate = learning_rate(self._updates, self._optim)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._updates += 1
        return {"loss/policy": loss, "grad_norm": norm, "lr": rate, **stats.report()}

    def _backward(self, batch: TokenBatch, totals: Totals, stats: TokenStats) -> float:
        """Add one micro-batch's share of the gradient; returns its share of the loss."""
        logprobs_T, entropy_T = self._policy.logprobs(batch, temperature=self._temperature)
        leaf_T = logprobs_T.detach().requires_grad_()
        loss = self._algorithm.loss(leaf_T, batch.sampled, totals)
        (of_objective_T,) = torch.autograd.grad(loss.objective_T.sum(), leaf_T, retain_graph=True)
        (gradient_T,) = torch.autograd.grad(loss.total, leaf_T)
        torch.autograd.backward([logprobs_T], [gradient_T])
        stats.add(leaf_T.detach(), entropy_T.detach(), batch, of_objective_T)
        return float(loss.total.detach())

    def _zero_gradients(self) -> None:
        # Zeros, not None: AdamW skips a parameter without a gradient, and a step without any
        # completion would differ from a step whose gradient is zero.
        for parameter in self._parameters:
            parameter.grad = torch.zeros_like(parameter)

    def _clip_gradients(self, loss: float) -> float:
        norm = float(torch.nn.utils.clip_grad_norm_(self._parameters, self._optim.max_grad_norm))
        if not (math.isfinite(loss) and math.isfinite(norm)):
            raise TrainingError(
                f"step {self._version + 1}: loss/policy is {loss} and grad_norm is {norm}; "
                "the weights were not changed by it"
            )
        return norm

    @torch.no_grad()
    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        """Log-probability (temperature 1) of each completion token under the current weights."""
        count = len(completion_ids)
        if not count:
            return []
        sample = Sample(
            prompt_ids=tuple(prompt_ids),
            completion_ids=tuple(completion_ids),
            logprobs_T=(0.0,) * count,
            advantages_T=(0.0,) * count,
        )
        batch = collate([[sample]], device=self._policy.device)
        logprobs_T, _ = self._policy.logprobs(batch, temperature=1.0)
        scores: list[float] = logprobs_T.tolist()
        return scores

    def publish(self, root: Path) -> PolicyRef:
        """Write the adapter as ``root/policy-v{version}``: whole or absent, never overwritten."""
        return publish_adapter(self._model, root, version=self._version)

    def save(self, path: Path) -> None:
        """Write ``path/adapter`` in PEFT format and ``path/learner.pt`` with the rest."""
        save_state(
            path,
            model=self._model,
            optimizer=self._optimizer,
            counters={"version": self._version, "updates": self._updates},
        )

    def restore(self, path: Path) -> None:
        """Continue from ``save``; CheckpointError if it does not fit this model."""
        counters = load_state(path, model=self._model, optimizer=self._optimizer)
        self._version, self._updates = counters["version"], counters["updates"]
