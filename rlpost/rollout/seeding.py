"""Random seeds by address, so that any layout of workers samples the same tokens from the same
policy."""

from __future__ import annotations

import hashlib

from rlpost.types import GroupKey


def seed_at(*address: object) -> int:
    """A 63-bit seed that depends on every part of ``address`` and on nothing else."""
    text = "/".join(str(part) for part in address).encode()
    return int.from_bytes(hashlib.blake2b(text, digest_size=8).digest(), "big") >> 1


def sampling_seeds(run_seed: int, key: GroupKey, group_size: int) -> list[int]:
    """One seed per sibling of the group ``key``; the run's name is left out so that equal runs
    repeat."""
    return [
        seed_at(run_seed, key.epoch, key.prompt_id, key.attempt, sibling)
        for sibling in range(group_size)
    ]
