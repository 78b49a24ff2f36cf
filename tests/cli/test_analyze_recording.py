"""`riemod analyze FILE`: recordings from npz and NWB files, what is printed and written, and what is refused."""

import functools
import json
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from riemod.cli.commands import main
from riemod.recordings import Recording, simulate
from riemod.topology import ModuliRecovery
from tests.cli.text import flat
from tests.recordings.populations import generator, trains_of

FIGURES = ["analysis.json", "analysis.png", "barcode.png", "diagram.png", "states.png"]


@pytest.fixture(autouse=True)
def few_nulls(monkeypatch: pytest.MonkeyPatch) -> None:
    """A fit that takes a tenth of the time; its p-values are coarse."""
    monkeypatch.setattr(
        "riemod.inspection.recordings.ModuliRecovery", functools.partial(ModuliRecovery, n_nulls=3, n_subsamples=1)
    )


@pytest.fixture(scope="module")
def heads() -> Recording:
    return simulate.head_direction_cells(30, 4, generator=generator(3))


def save(path: Path, recording: Recording) -> Path:
    trains = trains_of(recording)
    assert recording.position is not None
    assert recording.heading is not None
    times = np.concatenate(trains)
    order = np.argsort(times, kind="stable")
    ids = np.repeat(np.arange(len(trains)), [len(train) for train in trains])
    position, heading = recording.position, recording.heading
    np.savez(
        path,
        spike_times=times[order],
        spike_units=ids[order],
        spans=recording.spans,
        position=position.values,
        position_times=position.times,
        heading=heading.values[:, 0],
    )
    return path


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir())


def test_an_npz_is_analyzed_and_analyzed_again(
    tmp_path: Path, heads: Recording, capsys: pytest.CaptureFixture[str]
) -> None:
    path = save(tmp_path / "heads.npz", heads)
    main(["analyze", str(path), "--coordinates", "1"])
    out, errors = capsys.readouterr()
    assert errors == ""
    text = flat(out)
    for part in ("manifold: ", "units: 30 of 30 used", "circular correlation of angle 1 with head direction",
                 "p-value, degree 1", "information on recovered angles, median unit"):  # fmt: skip
        assert part in text
    folder = tmp_path / "heads-analysis"
    expected = sorted([*FIGURES, "angles.png", "arena.png", "heading.png", "places.png", "tuning.png"])
    assert names(folder) == expected
    record = json.loads((folder / "analysis.json").read_text())
    assert record["coordinates"]["correlations"][0] > 0.9
    assert record["preparation"]["tally"]["units_used"] == 30
    assert record["kind"] == "spikes"
    assert len(record["tuning"]["angles"]["bits_per_spike"]) == 30
    (folder / "notes.txt").write_text("mine")
    main(["analyze", str(path), "--json", "--coordinates", "1"])
    assert json.loads(capsys.readouterr().out) == record == json.loads((folder / "analysis.json").read_text())
    assert names(folder) == sorted([*expected, "notes.txt"])


def test_an_nwb_file_is_analyzed(tmp_path: Path, heads: Recording, capsys: pytest.CaptureFixture[str]) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        pytest.importorskip("pynwb")
        from tests.recordings.test_nwb import add_behavior, add_units, write

        def fill(file: object) -> None:
            add_units(file, heads)
            add_behavior(file, heads)

        path = write(tmp_path / "heads.nwb", fill)
        main(["analyze", str(path), "--out", str(tmp_path / "found"), "--coordinates", "2", "--smoothing", "0.3"])
    assert "manifold of the population" in flat(capsys.readouterr().out)
    assert set(FIGURES) <= set(names(tmp_path / "found"))
    record = json.loads((tmp_path / "found" / "analysis.json").read_text())
    assert record["preparation"]["settings"]["smoothing"] == 0.3
    assert record["coordinates"]["count"] == 2


def test_samples_and_behavior_from_two_files(tmp_path: Path, heads: Recording) -> None:
    rng = np.random.default_rng(0)
    angle = np.cumsum(rng.standard_normal(1500) * 0.3)
    traces = np.cos(angle[:, None] - np.linspace(0, 6, 12)) + 0.1 * rng.standard_normal((1500, 12))
    rows = np.column_stack([np.arange(1500) * 0.1, traces])
    header = ",".join(["time", *(f"cell{index}" for index in range(12))])
    np.savetxt(tmp_path / "traces.csv", rows, delimiter=",", header=header, comments="")
    np.savez(tmp_path / "turns.npz", heading=np.mod(angle, 2 * np.pi), heading_times=rows[:, 0])
    main(["analyze", str(tmp_path / "traces.csv"), "--kind", "calcium", "--behavior", str(tmp_path / "turns.npz"),
          "--coordinates", "1", "--smoothing", "0"])  # fmt: skip
    record = json.loads((tmp_path / "traces-analysis" / "analysis.json").read_text())
    assert record["kind"] == "calcium"
    assert record["coordinates"]["correlations"][0] > 0.9
    assert record["tuning"] == {}


def test_what_cannot_be_analyzed(tmp_path: Path, heads: Recording, fails: Callable[..., str]) -> None:
    path = save(tmp_path / "heads.npz", heads)
    assert "path must be a file, got" in fails("analyze", str(tmp_path / "missing.npz"))
    (tmp_path / "broken.npz").write_bytes(path.read_bytes()[:-100])
    assert "broken.npz: it must be an npz file" in fails("analyze", str(tmp_path / "broken.npz"))
    (tmp_path / "a.mat").write_text("")
    assert "run must be a folder with a config.json" in fails("analyze", str(tmp_path / "a.mat"))
    assert "--states is for runs" in fails("analyze", str(path), "--states", "100")
    assert "--smoothing is for recordings" in fails("analyze", str(tmp_path), "--smoothing", "1")
    assert "bin_width must be positive" in fails("analyze", str(path), "--bin-width", "0")
    assert "coordinates must be an integer from 1 to 2" in fails("analyze", str(path), "--coordinates", "3")
    assert "threads must be an integer from 1 to 1024, got 0" in fails("analyze", str(path), "--threads", "0")
    assert "at least 2 units" in fails("analyze", str(one_unit(tmp_path)))
    (tmp_path / "taken").mkdir()
    (tmp_path / "taken" / "maps.png").write_bytes(b"mine")
    assert "figures of something else" in fails("analyze", str(path), "--out", str(tmp_path / "taken"))
    assert "out must be a folder" in fails("analyze", str(path), "--out", str(path))
    assert names(tmp_path) == ["a.mat", "broken.npz", "heads.npz", "one.npz", "taken"]


def one_unit(folder: Path) -> Path:
    np.savez(folder / "one.npz", spike_times=[0.1, 0.2], spike_units=[1, 1])
    return folder / "one.npz"
