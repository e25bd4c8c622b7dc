"""The learner: complete groups in, one optimizer step on LoRA adapters, metrics out."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, cast

import torch
from torch.nn import Parameter

from rlpost.batch.packing import TokenBatch, collate, num_tokens
from rlpost.credit.advantages import Rewards, is_degenerate
from rlpost.credit.reward_transforms import shaping_metrics
from rlpost.diagnostics.uplift import uplift
from rlpost.diagnostics.weight_change import UpdateDiagnostics
from rlpost.errors import TrainingError
from rlpost.learner.algorithm import Algorithm
from rlpost.learner.data_parallel import Alone, Ranks
from rlpost.learner.decoder import CausalLM
from rlpost.learner.minibatches import Minibatch, StepBuilder
from rlpost.learner.optim import OptimSettings, adamw, learning_rate
from rlpost.learner.packed_policy import PackedPolicy, Policy, cost_sentence
from rlpost.learner.state import load_state, save_state
from rlpost.learner.step_stats import TokenStats
from rlpost.objective.aggregation import Totals
from rlpost.protocols import BothWays
from rlpost.tracking.metrics import fold, group_metrics
from rlpost.types import Group, PolicyRef, Sample, Stretch
from rlpost.weights.lora import set_dropout
from rlpost.weights.publish import publish_adapter

if TYPE_CHECKING:
    from peft import PeftModel


class TorchLearner:
    """A ``ports.Learner`` on PyTorch, in this process.

    The ratio of the objective is pi_learner / pi_engine: behaviour log-probabilities are those the
    engine reported when it sampled, at the same ``temperature``.
    """

    def __init__(
        self,
        model: PeftModel,
        *,
        policy: Policy | None = None,
        algorithm: Algorithm,
        optim: OptimSettings,
        tokens_per_batch: int,
        temperature: float,
        epochs: int = 1,
        minibatches: int = 1,
        uplift_every: int = 0,
        diagnostics_every: int = 0,
        ranks: Ranks | None = None,
    ) -> None:
        """``model`` has adapters on it; ``policy`` computes with it, by default as a causal
        language model. ``tokens_per_batch`` bounds a packed micro-batch, and with it memory.

        Each step makes ``epochs * minibatches`` optimizer steps: the step's samples are cut into
        ``minibatches`` equal parts and gone over ``epochs`` times. Every ``uplift_every`` steps two
        more passes record whose probability the step raised, and every ``diagnostics_every`` steps
        the weights are compared with the base; 0 is never. With ``ranks``, each of which is a
        learner with the same weights that is given the same groups, they share the work.
        """
        self._model = model
        self._policy = policy or PackedPolicy(cast(CausalLM, model.get_base_model()))
        self._algorithm = algorithm
        self._optim = optim
        self._temperature = temperature
        self._tokens_per_batch = tokens_per_batch
        self._epochs = epochs
        self._uplift_every = uplift_every
        self._diagnostics_every = diagnostics_every
        self._diagnostics = UpdateDiagnostics(model) if diagnostics_every else None
        self._ranks = ranks or Alone()
        self._prepare = StepBuilder(
            policy=self._policy,
            reference=model.disable_adapter,
            algorithm=algorithm,
            tokens_per_batch=tokens_per_batch,
            temperature=temperature,
            minibatches=minibatches,
            ranks=self._ranks,
        )
        self._parameters = list(self.trained_parameters().values())
        self._optimizer = adamw(self._parameters, optim)
        self._version = 0
        self._updates = 0
        self._advantages_P_G: Sequence[Sequence[Sequence[Stretch]]] = ()
        set_dropout(model, active=False)

    @property
    def version(self) -> int:
        return self._version

    @property
    def advantages_P_G(self) -> Sequence[Sequence[Sequence[Stretch]]]:
        """Of the last step: what ``ports.CreditedLearner`` asks for; empty before the first."""
        return self._advantages_P_G

    @property
    def peft_model(self) -> PeftModel:
        """The model being trained."""
        return self._model

    @property
    def why_not_packed(self) -> str:
        """Why training takes longer than on packed rows; empty where it does not."""
        return cost_sentence(self._policy, longest=self._tokens_per_batch)

    def trained_parameters(self) -> dict[str, Parameter]:
        """The adapter matrices themselves, by name."""
        return {n: p for n, p in self._model.named_parameters() if p.requires_grad}

    def step(self, groups: Sequence[Group]) -> Mapping[str, float]:
        """Train on ``groups``, in ticket order whatever the order given; ``version`` grows by one.

        Raises TrainingError on a non-finite loss or gradient, before it reaches the weights.
        """
        ordered = sorted(groups, key=lambda group: group.ticket.index)
        watched = self._watched(ordered)
        before_P_G = self._prepare.logprobs(watched)
        samples, parts, advantages_P_G, metrics = self._prepare(ordered, step=self._version + 1)
        reports = [self._update(part) for _ in range(self._epochs) for part in parts]
        self._version += 1
        credited = {g.key: row for g, row in zip(ordered, advantages_P_G, strict=True)}
        self._advantages_P_G = [credited[group.key] for group in groups]
        return {
            **group_metrics(ordered),
            **shaping_metrics(ordered, self._algorithm.transforms),
            **metrics,
            **self._raised(watched, before_P_G),
            **self._changed(),
            **fold(reports),
            "tokens/step": float(sum(num_tokens(sample) for sample in samples)),
            "tokens/completion": float(sum(len(sample.completion_ids) for sample in samples)),
        }

    def _watched(self, groups: Sequence[Group]) -> list[Group]:
        """The groups whose uplift this step records."""
        if not self._uplift_every or (self._version + 1) % self._uplift_every:
            return []
        return [group for group in groups if not is_degenerate(group.rewards_G)]

    def _raised(self, groups: Sequence[Group], before_P_G: Rewards) -> dict[str, float]:
        if not groups:
            return {}
        after_P_G = self._prepare.logprobs(groups)
        return uplift(before_P_G, after_P_G, [group.rewards_G for group in groups]).metrics()

    def _changed(self) -> dict[str, float]:
        if self._diagnostics is None or self._version % self._diagnostics_every:
            return {}
        return self._diagnostics.measure()

    def _update(self, part: Minibatch) -> dict[str, float]:
        """One optimizer step on a part of the step's samples.

        A part that nothing can be learned from takes its turn in the schedule but leaves weights
        and optimizer as they are: AdamW's momentum and decay would move them without a gradient.
        """
        rate, clips = learning_rate(self._updates, self._optim), self._algorithm.clips
        if not part.has_signal:
            self._updates += 1
            unclipped = dict.fromkeys(clips.names, 0.0) if clips else {}
            skipped = {"loss/policy": 0.0, "grad_norm": 0.0, "lr": rate, "updates/skipped": 1.0}
            return skipped | unclipped
        stats = TokenStats(clips)
        for parameter in self._parameters:
            parameter.grad = torch.zeros_like(parameter)
        set_dropout(self._model, active=True)
        for batch in part.batches:
            self._backward(batch, part.totals, stats)
        set_dropout(self._model, active=False)
        self._ranks.add([p.grad for p in self._parameters if p.grad is not None])
        stats.add_up(self._ranks)
        norm = self._clip_gradients(stats.loss)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._updates += 1
        report = {
            "grad_norm": norm,
            "lr": rate,
            "updates/skipped": 0.0,
            **stats.report(part.totals),
        }
        if self._algorithm.entropy is not None:
            report["entropy/coefficient"] = self._algorithm.entropy.coefficient
            self._algorithm.entropy.measured(report["entropy"])
        return report

    def _backward(self, batch: TokenBatch, totals: Totals, stats: TokenStats) -> None:
        """Add one micro-batch's share of the gradient."""
        logprobs_T, entropy_T = self._policy.logprobs(batch, temperature=self._temperature)
        # The loss on leaves of its own: its gradients go through the network once.
        leaf_T = logprobs_T.detach().requires_grad_()
        spread_T = entropy_T.detach().requires_grad_()
        loss = self._algorithm.loss(leaf_T, spread_T, batch.sampled, totals)
        gradients = torch.autograd.grad(
            loss.total, (leaf_T, spread_T), allow_unused=True, materialize_grads=True
        )
        learned = (logprobs_T, entropy_T) if self._algorithm.entropy else (logprobs_T,)
        torch.autograd.backward(learned, gradients[: len(learned)])
        stats.add(leaf_T.detach(), spread_T.detach(), batch.sampled, loss)

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
        if not completion_ids:
            return []
        batch = collate([[_bare(prompt_ids, completion_ids)]], device=self._policy.device)
        logprobs_T, _ = self._policy.logprobs(batch, temperature=1.0)
        scores: list[float] = logprobs_T.tolist()
        return scores

    @torch.no_grad()
    def score_both_ways(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> BothWays:
        """``score`` in a batch as it is trained on, and by the model's plain forward pass."""
        if not completion_ids:
            return BothWays((), ())
        sample = _bare(prompt_ids, completion_ids)
        other = _bare(prompt_ids, completion_ids[::-1])
        # Behind a sequence of another block and behind a sibling: what leaks, leaks forward.
        trained = collate([[other], [other, sample]], device=self._policy.device)
        batch_T, _ = self._policy.logprobs(trained, temperature=1.0)
        alone_T = self._policy.alone(collate([[sample]], device=self._policy.device))
        return BothWays(tuple(batch_T[-len(alone_T) :].tolist()), tuple(alone_T.tolist()))

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
            memory=self._algorithm.state(),
        )

    def restore(self, path: Path) -> None:
        """Continue from ``save``; CheckpointError if it does not fit this model."""
        counters, memory = load_state(
            path,
            model=self._model,
            optimizer=self._optimizer,
            remembering=self._algorithm.state(),
        )
        self._algorithm.restore(memory)
        self._version, self._updates = counters["version"], counters["updates"]
        if self._diagnostics is not None:
            self._diagnostics.begin_window()


def _bare(prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> Sample:
    """A sample to be scored only."""
    nothing = (0.0,) * len(completion_ids)
    return Sample(
        prompt_ids=tuple(prompt_ids),
        completion_ids=tuple(completion_ids),
        logprobs_T=nothing,
        advantages_T=nothing,
    )
