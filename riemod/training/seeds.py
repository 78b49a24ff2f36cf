"""Random streams of a run: each is decided by its purpose, the run's seed and the epoch alone."""

import hashlib
from enum import IntEnum

import torch

from riemod._machine import check_place


class Stream(IntEnum):
    """Names what a generator draws: the first key of `generator_for`, before the seed and, where it matters, the epoch.

    Two purposes never share a stream, and no stream is continued from one epoch to the next, so a resumed run draws
    what an uninterrupted one draws. The values are part of every run's bits: never change one.
    """

    WEIGHTS = 0
    POINTS = 1
    BATCHES = 2
    EVALUATION = 3
    NOISE = 4
    TICKET = 5
    BLOCKS = 6
    MASKS = 7
    ANALYSIS = 8


def generator_for(device: torch.device | str, *key: int) -> torch.Generator:
    """Return a generator seeded with the first 56 bits of the SHA-256 of the key.

    Args:
        device: of the generator.
        key: integers that name the stream, as in (Stream.BATCHES, seed, epoch).

    >>> first, second = (generator_for("cpu", Stream.POINTS, seed) for seed in (0, 1))
    >>> first.initial_seed() == second.initial_seed()
    False
    """
    check_place(device)
    digest = hashlib.sha256(",".join(map(str, key)).encode()).digest()
    return torch.Generator(device=device).manual_seed(int.from_bytes(digest[:7], "little"))
