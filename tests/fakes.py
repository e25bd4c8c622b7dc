"""Small real stand-ins for engine, reward, learner and prompt source: a whole run in microseconds.

Everything they compute depends on everything they are given (weights, seeds, order), so that two
runs which agree on the result agree on the way there.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rlpost.errors import EngineError
from rlpost.types import Completion, Group, Message, PolicyRef, Prompt, Sampling, Score

EPOCH_LENGTH = 1000


class NumberSource:
    """Prompt ``i`` asks about the number ``i``."""

    def prompt(self, index: int) -> Prompt:
        message = Message(role="user", content=f"number {index}")
        number = index % EPOCH_LENGTH
        return Prompt(id=f"q{number}", messages=(message,), token_ids=(1, number), payload=number)

    def epoch(self, index: int) -> int:
        return index // EPOCH_LENGTH


class LengthReward:
    """Longer answers are better; nothing can go wrong."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return Score(total=len(completion.token_ids) / 8, parts={"length": 1.0})


class CoarseReward:
    """1 for an answer of even length, else 0: a group of three is degenerate one time in four."""

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        return Score(total=float(len(completion.token_ids) % 2 == 0))


@dataclass(kw_only=True)
class FaultyReward(LengthReward):
    """Raises for prompts in ``broken``, hangs once at those in ``hanging``; ``marker``: it did."""

    broken: frozenset[str] = frozenset()
    hanging: frozenset[str] = frozenset()
    marker: Path | None = None

    def __call__(self, prompt: Prompt, completion: Completion) -> Score:
        if prompt.id in self.broken:
            raise ZeroDivisionError(f"no reward for {prompt.id}")
        if prompt.id in self.hanging and self.marker is not None and first_time(self.marker):
            time.sleep(3600)
        return super().__call__(prompt, completion)


@dataclass(kw_only=True)
class ScriptedEngine:
    """Tokens and log-probabilities are a function of seed, prompt and the loaded weight.

    ``kills``: prompts at whose sampling the process is killed; once each when ``markers`` is given.
    """

    seconds_per_call: float = 0.0
    kills: frozenset[str] = frozenset()
    markers: Path | None = None
    version: int = 0
    weight: float = 0.0
    calls: list[tuple[str, ...]] = field(default_factory=list)

    def generate(
        self, prompts_P: Sequence[Prompt], *, seeds_P_G: Sequence[Sequence[int]], sampling: Sampling
    ) -> list[list[Completion]]:
        self.calls.append(tuple(prompt.id for prompt in prompts_P))
        for prompt in prompts_P:
            self._die_if_told(prompt)
        time.sleep(self.seconds_per_call)
        return [
            [self._sample(prompt, seed, sampling) for seed in seeds_G]
            for prompt, seeds_G in zip(prompts_P, seeds_P_G, strict=True)
        ]

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        return [fake_logprob(self.weight, token) for token in completion_ids]

    def load(self, policy: PolicyRef) -> None:
        stored = json.loads((policy.path / "weights.json").read_text())
        if stored["version"] != policy.version:
            raise EngineError(f"asked for version {policy.version}, found {stored['version']}")
        self.version, self.weight = policy.version, stored["weight"]

    def close(self) -> None:
        self.calls.clear()

    def _sample(self, prompt: Prompt, seed: int, sampling: Sampling) -> Completion:
        rng = random.Random(f"{seed}/{prompt.id}/{self.weight!r}")
        tokens = tuple(rng.randrange(50) for _ in range(rng.randint(1, sampling.max_tokens)))
        return Completion(
            token_ids=tokens,
            logprobs_T=tuple(fake_logprob(self.weight, token) for token in tokens),
            versions_T=(self.version,) * len(tokens),
            finish="stop",
            text=" ".join(map(str, tokens)),
        )

    def _die_if_told(self, prompt: Prompt) -> None:
        if prompt.id not in self.kills:
            return
        if self.markers is None or first_time(self.markers / f"killed-{prompt.id}"):
            os.kill(os.getpid(), signal.SIGKILL)


@dataclass(kw_only=True)
class HashLearner:
    """Its weight is a hash of all it was ever given; ``dies_at`` kills its process in that step."""

    seconds_per_step: float = 0.0
    dies_at: int = -1
    forgets_to_publish: bool = False
    version: int = 0
    weight: float = 0.0

    def step(self, groups: Sequence[Group]) -> Mapping[str, float]:
        if self.version + 1 == self.dies_at:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.seconds_per_step)
        ordered = sorted(groups, key=lambda group: group.ticket.index)
        digest = hashlib.sha256(f"{self.weight!r}/{ordered!r}".encode()).digest()
        self.weight = int.from_bytes(digest[:6], "big") / 2**48
        self.version += 1
        rewards = [reward for group in ordered for reward in group.rewards_G]
        return {"reward/mean": sum(rewards) / len(rewards), "loss/policy": self.weight}

    def publish(self, root: Path) -> PolicyRef:
        path = root / f"policy-v{self.version}"
        path.mkdir(parents=True)
        weight = 0.0 if self.forgets_to_publish else self.weight
        state = {"version": self.version, "weight": weight}
        (path / "weights.json").write_text(json.dumps(state))
        return PolicyRef(version=self.version, path=path)

    def score(self, prompt_ids: Sequence[int], completion_ids: Sequence[int]) -> list[float]:
        return [fake_logprob(self.weight, token) for token in completion_ids]

    def save(self, path: Path) -> None:
        (path / "learner.json").write_text(json.dumps([self.version, self.weight]))

    def restore(self, path: Path) -> None:
        self.version, self.weight = json.loads((path / "learner.json").read_text())


def fake_logprob(weight: float, token: int) -> float:
    return -1.0 - weight - token / 100


def first_time(marker: Path) -> bool:
    """True once per marker file, over all processes."""
    try:
        marker.touch(exist_ok=False)
    except FileExistsError:
        return False
    return True
