"""Recordings from npz and CSV files, and what is said of files that are damaged or hold something else."""

import csv
import pickle
from pathlib import Path

import numpy as np
import pytest

from riemod.recordings import Recording, Samples, load
from tests.recordings.populations import heads, same, trains_of


def arrays(recording: Recording) -> dict[str, np.ndarray]:
    """The documented keys of an npz file."""
    trains = trains_of(recording)
    assert recording.position is not None
    assert recording.heading is not None
    times = np.concatenate(trains)
    order = np.argsort(times, kind="stable")
    return {
        "spike_times": times[order],
        "spike_units": np.repeat(np.arange(len(trains)), [len(train) for train in trains])[order],
        "units": np.array(recording.units),
        "spans": recording.spans,
        "position": recording.position.values,
        "position_times": recording.position.times,
        "heading": recording.heading.values[:, 0],
    }


@pytest.mark.parametrize("save", [np.savez, np.savez_compressed])
def test_spikes_from_npz(tmp_path: Path, save: object) -> None:
    recording = heads()
    save(tmp_path / "a.npz", **arrays(recording))  # type: ignore[operator]
    found = load(tmp_path / "a.npz")
    same(found, recording)
    assert found.notes == ()
    same(load(str(tmp_path / "a.npz")), recording)


def test_samples_from_npz(tmp_path: Path) -> None:
    values = np.arange(12).reshape(6, 2)
    np.savez(tmp_path / "a.npz", counts=values, seconds=0.1, mine=np.zeros(3), position=np.zeros((6, 2)))
    found = load(tmp_path / "a.npz")
    assert isinstance(found.activity, Samples)
    assert found.activity.kind == "counts"
    np.testing.assert_array_equal(found.activity.values, values)
    assert found.notes == ("not read: mine",)
    assert found.position is not None
    np.testing.assert_allclose(found.position.times, 0.1 * (np.arange(6) + 0.5))
    np.savez(tmp_path / "b.npz", calcium=values - 3.0, times=np.arange(6) * 0.2)
    assert load(tmp_path / "b.npz", kind="calcium").units == ("0", "1")


def write(path: Path, rows: list[list[object]]) -> Path:
    with path.open("w", newline="") as file:
        csv.writer(file).writerows(rows)
    return path


def test_spikes_and_behavior_from_csv(tmp_path: Path) -> None:
    recording = heads(5)
    assert recording.position is not None
    assert recording.heading is not None
    trains = trains_of(recording)
    pairs = sorted((time, name) for name, train in zip(recording.units, trains, strict=True) for time in train.tolist())
    spikes = write(tmp_path / "spikes.csv", [["time", "unit"], *map(list, pairs)])
    tracked = zip(recording.position.times, *recording.position.values.T, recording.heading.values[:, 0], strict=True)
    behavior = write(tmp_path / "tracking.csv", [["Time", "x", "y", "heading"], *map(list, tracked)])
    found = load(spikes, behavior=behavior)
    assert found.units == recording.units
    np.testing.assert_allclose(found.spans, [recording.position.times[[0, -1]]], atol=0.02)
    for one, other in zip(trains_of(found), trains, strict=True):
        np.testing.assert_allclose(one, other)
    assert found.heading is not None
    np.testing.assert_allclose(found.heading.values, recording.heading.values)


def test_samples_from_csv_with_lost_positions(tmp_path: Path) -> None:
    rows = [["time", "a", "b", "x", "y"], [0, 1, 2, 0.1, 0.2], [1, 3, 4, "", ""], [2, 5, 6, 0.3, 0.4]]
    path = write(tmp_path / "samples.csv", rows)
    found = load(path, kind="rates")
    assert found.units == ("a", "b")
    assert found.position is not None
    assert found.position.lost == 1
    with pytest.raises(ValueError, match=r"samples\.csv: it holds samples: say by kind what they are"):
        load(path)


class Executed:
    def __reduce__(self) -> tuple:
        return Path.touch, (Path("executed"),)


DAMAGED = {
    "no zip": (b"PK of nothing", "it must be an npz file"),
    "empty": (b"", "it must be an npz file"),
}


@pytest.mark.parametrize("content", DAMAGED)
def test_files_that_are_no_npz(tmp_path: Path, content: str) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(DAMAGED[content][0])
    with pytest.raises(ValueError, match=r"a\.npz: " + DAMAGED[content][1]):
        load(path)


def test_a_cut_npz_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    np.savez(path, **arrays(heads()))
    content = path.read_bytes()
    for end in (len(content) // 2, len(content) - 10):
        path.write_bytes(content[:end])
        with pytest.raises(ValueError, match=r"a\.npz: it must be an npz file"):
            load(path)
    broken = bytearray(content)
    broken[200:260] = b"\0" * 60
    path.write_bytes(bytes(broken))
    with pytest.raises(ValueError, match=r"a\.npz: "):
        load(path)


def test_objects_are_never_loaded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    array = np.empty(1, dtype=object)
    array[0] = Executed()
    np.savez(tmp_path / "a.npz", spike_times=array, spike_units=np.zeros(1))
    with pytest.raises(ValueError, match="spike_times must be an array of numbers or text, got Python objects"):
        load(tmp_path / "a.npz")
    (tmp_path / "b.npz").write_bytes(pickle.dumps(Executed()))
    with pytest.raises(ValueError, match="it must be an npz file"):
        load(tmp_path / "b.npz")
    assert not (tmp_path / "executed").exists()


NPZ = [
    ({}, "it must hold one of spike_times, counts, rates, calcium, got none of them"),
    ({"counts": np.ones((3, 2)), "rates": np.ones((3, 2))}, "got counts and rates"),
    ({"spike_times": np.ones(3)}, "it must hold spike_units"),
    ({"spike_times": np.array(["a"]), "spike_units": np.ones(1)}, "times must be an array of numbers"),
    ({"counts": np.ones((3, 2))}, "times or seconds must be given"),
    ({"counts": -np.ones((3, 2)), "seconds": 1}, "counts must not be negative, got -1"),
    ({"counts": np.ones((3, 2)), "seconds": np.ones(2)}, "cannot reshape"),
    ({"spike_times": np.ones(2), "spike_units": [0, 1], "position_times": np.ones(2)}, "it must have position beside"),
    ({"spike_times": [0.5, 9.0], "spike_units": [0, 1], "spans": [0, 1]}, "got 1 of 2 spikes outside"),
]


@pytest.mark.parametrize(("content", "message"), NPZ)
def test_npz_files_that_hold_something_else(tmp_path: Path, content: dict, message: str) -> None:
    np.savez(tmp_path / "a.npz", **content)
    with pytest.raises(ValueError, match=message) as error:
        load(tmp_path / "a.npz")
    assert str(error.value).startswith(f"{tmp_path / 'a.npz'}: ")
    assert "\n" not in str(error.value)


CSV = [
    ("", "its header must have the column time, got nothing"),
    ("t,unit\n1,2\n", "its header must have the column time, got t, unit"),
    ("time,unit\n", "it must have rows below its header"),
    ("time,unit\n1,2\n3\n", "line 3 must have 2 cells, got 1"),
    ("time,unit\none,2\n", "line 2, column time, must be a number, got 'one'"),
    ("time,unit,x\n1,2,3\n", "a file of spikes must have the columns time and unit alone"),
    ("time,unit\n0.5,2\n0.2,2\n0.1,1\n", "times of unit 2 must ascend, got 0.2 s after 0.5 s"),
    ("time,unit\n0.5,2\n,3\n", "times of unit 3 must be finite"),
    ("time,a,a\n0.5,2,3\n", "the columns of its header must differ"),
    ("time,x,y\n0.5,2,3\n", "got none of them"),
]


@pytest.mark.parametrize(("content", "message"), CSV)
def test_csv_files_that_hold_something_else(tmp_path: Path, content: str, message: str) -> None:
    (tmp_path / "a.csv").write_text(content)
    with pytest.raises(ValueError, match=message):
        load(tmp_path / "a.csv")


def test_bytes_that_are_no_text(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_bytes(b"time,unit\n\xff\xfe,1\n")
    with pytest.raises(ValueError, match="it must be CSV text in UTF-8"):
        load(tmp_path / "a.csv")


def test_paths_that_are_no_recording(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"must be a \.npz, \.csv or \.nwb file"):
        load(tmp_path / "a.mat")
    with pytest.raises(FileNotFoundError, match=r"path must be a file, got .*a\.npz, which does not exist"):
        load(tmp_path / "a.npz")
    (tmp_path / "b.npz").mkdir()
    with pytest.raises(ValueError, match="it must be a regular file"):
        load(tmp_path / "b.npz")
    np.savez(tmp_path / "c.npz", counts=np.ones((3, 2)), seconds=1)
    with pytest.raises(ValueError, match="position and heading name series of an NWB file"):
        load(tmp_path / "c.npz", position="place")
    with pytest.raises(ValueError, match=r"it holds counts, got the kind rates"):
        load(tmp_path / "c.npz", kind="rates")
    with pytest.raises(ValueError, match=r"it must hold position .* or heading, got neither"):
        load(tmp_path / "c.npz", behavior=tmp_path / "c.npz")


def test_more_than_the_memory_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("riemod._machine.main_memory", lambda: 1 << 20)
    np.savez_compressed(tmp_path / "a.npz", counts=np.zeros((10**6, 5)), seconds=1)
    assert (tmp_path / "a.npz").stat().st_size < 1 << 20
    with pytest.raises(ValueError, match=r"a\.npz: its size must fit the 1 MiB of memory here"):
        load(tmp_path / "a.npz")
