"""The exceptions of rlpost, as one tree. Each takes one sentence, so that it survives a trip
between processes.

RlpostError
  UserError        bad input: the sentence names the value and the remedy; the CLI exits with 2
  EngineError      the rollout engine failed or returned something impossible
    AdapterError   a published adapter that no engine can ever load
  RewardError      a scorer failed (a wrong answer is data, a broken scorer is an error)
  QueueError       a queue call missed its deadline or broke the protocol
  TrainingError    the run must stop: non-finite loss, failed canary, failure budget spent
  CheckpointError  a checkpoint is missing, incomplete or of another run
    OtherRunError  the run was started with another config, model or collection: also bad input
"""

from __future__ import annotations

from rankers.errors import RlpostError, UserError


class EngineError(RlpostError, RuntimeError):
    """The rollout engine failed."""


class AdapterError(EngineError):
    """A published adapter does not fit the base model: trying again cannot help."""


class RewardError(RlpostError, RuntimeError):
    """A scorer failed."""


class QueueError(RlpostError, RuntimeError):
    """A queue call missed its deadline or broke the protocol."""


class TrainingError(RlpostError, RuntimeError):
    """The run must stop; the last good checkpoint is intact."""


class CheckpointError(RlpostError, RuntimeError):
    """A checkpoint cannot be used."""


class OtherRunError(UserError, CheckpointError):
    """A run cannot go on with what it was not started with."""
