"""Random streams: each key has its own, and none ever changes."""

import torch

from riemod.training import Stream, generator_for


def test_every_key_has_a_stream_of_its_own():
    keys = [(0,), (1,), (0, 0), (0, 1), (1, 0), (0, 11), (1, 1), (11,), (1, 2, 3), (12, 3)]
    first = {key: int(torch.randint(2**62, (), generator=generator_for("cpu", *key))) for key in keys}
    assert len(set(first.values())) == len(keys)
    assert first == {key: int(torch.randint(2**62, (), generator=generator_for("cpu", *key))) for key in keys}


def test_the_streams_of_old_runs_stay():
    assert [int(stream) for stream in Stream] == list(range(9))
    assert generator_for("cpu", Stream.BATCHES, 3, 1).initial_seed() == 19498066220038536
