"""Recordings from pynapple's own objects, and from the files that it saves."""

import warnings
from pathlib import Path

import numpy as np
import pytest

from riemod.recordings import Recording, Samples, from_pynapple, load
from tests.recordings.populations import heads, same, trains_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    nap = pytest.importorskip("pynapple")

pytestmark = pytest.mark.filterwarnings("ignore")


def objects(recording: Recording) -> dict:
    assert recording.position is not None
    assert recording.heading is not None
    support = nap.IntervalSet(*recording.spans.T)
    trains = dict(zip(map(int, recording.units), map(nap.Ts, trains_of(recording)), strict=True))
    place, turn = recording.position, recording.heading
    return {
        "units": nap.TsGroup(trains, time_support=support),
        "position": nap.TsdFrame(place.times, place.values, columns=["x", "y"]),
        "heading": nap.Tsd(turn.times, turn.values[:, 0]),
    }


def test_its_objects_are_the_recording() -> None:
    recording = heads(6)
    same(from_pynapple(**objects(recording)), recording)


def test_frames_of_samples() -> None:
    values = np.arange(20.0).reshape(10, 2)
    frame = nap.TsdFrame(np.arange(10) * 0.1, values, columns=["a", "b"])
    found = from_pynapple(frame, kind="calcium", position=nap.Tsd(np.arange(10) * 0.1, np.arange(10.0)))
    assert isinstance(found.activity, Samples)
    np.testing.assert_array_equal(found.activity.values, values)
    assert found.units == ("a", "b")
    assert found.position is not None
    assert found.position.values.shape == (10, 1)


def test_its_files_are_the_recording(tmp_path: Path) -> None:
    recording = heads(6)
    for name, one in objects(recording).items():
        one.save(str(tmp_path / f"{name}.npz"))
    found = load(tmp_path / "units.npz", behavior=tmp_path / "position.npz")
    assert found.position is not None
    assert recording.position is not None
    np.testing.assert_allclose(found.position.values, recording.position.values)
    turned = load(tmp_path / "units.npz", behavior=tmp_path / "heading.npz")
    assert turned.heading is not None
    assert recording.heading is not None
    np.testing.assert_allclose(turned.heading.values, recording.heading.values)
    same(found, Recording(recording.units, recording.activity, recording.spans, recording.position))


def test_other_objects_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match="units must be a TsGroup or a TsdFrame of pynapple, got Tsd"):
        from_pynapple(nap.Tsd(np.arange(3.0), np.arange(3.0)))
    with pytest.raises(TypeError, match="position must be a Tsd or a TsdFrame of pynapple, got ndarray"):
        from_pynapple(objects(heads(3))["units"], position=np.zeros((3, 2)))
    nap.Ts(np.arange(3.0)).save(str(tmp_path / "a.npz"))
    with pytest.raises(ValueError, match="it must be a TsGroup, a TsdFrame or a Tsd of pynapple, got a Ts"):
        load(tmp_path / "a.npz")
