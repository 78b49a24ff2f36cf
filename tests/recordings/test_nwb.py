"""Recordings from NWB files that pynwb writes."""

import datetime
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from riemod.recordings import Recording, Samples, load
from tests.recordings.populations import heads, same, trains_of

with warnings.catch_warnings():
    warnings.simplefilter("ignore")
    pynwb = pytest.importorskip("pynwb")

pytestmark = pytest.mark.filterwarnings("ignore")


def write(path: Path, fill: Callable[[Any], None]) -> Path:
    file = pynwb.NWBFile("a session", "1", datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC))
    fill(file)
    with pynwb.NWBHDF5IO(str(path), "w") as io:
        io.write(file)
    return path


def add_units(file: Any, recording: Recording) -> None:
    for train in trains_of(recording):
        file.add_unit(spike_times=train, obs_intervals=recording.spans)


def add_behavior(
    file: Any, recording: Recording, *, units: tuple[str, str] = ("m", "radians"), scale: float = 1.0
) -> None:
    module = file.create_processing_module("behavior", "tracking")
    place, turn = recording.position, recording.heading
    assert place is not None
    assert turn is not None
    series = pynwb.behavior.SpatialSeries(
        "place", scale * place.values, "corner", unit=units[0], timestamps=place.times
    )
    module.add(pynwb.behavior.Position(spatial_series=series))
    series = pynwb.behavior.SpatialSeries(
        "turn", turn.values[:, 0], "east", unit=units[1], starting_time=turn.times[0], rate=50.0
    )
    module.add(pynwb.behavior.CompassDirection(spatial_series=series))


def test_units_and_behavior(tmp_path: Path) -> None:
    recording = heads(5)

    def fill(file: Any) -> None:
        add_units(file, recording)
        add_behavior(file, recording)

    path = write(tmp_path / "a.nwb", fill)
    same(load(path), recording)
    same(load(path, position="place", heading="turn"), recording)
    with pytest.raises(ValueError, match="position must name one of its series, place, got 'where'"):
        load(path, position="where")


def test_centimeters_and_degrees(tmp_path: Path) -> None:
    recording = heads(5)
    assert recording.heading is not None
    degrees = Recording(
        recording.units,
        recording.activity,
        recording.spans,
        recording.position,
        recording.heading._replace(values=np.degrees(recording.heading.values)),
    )

    def fill(file: Any) -> None:
        add_units(file, recording)
        add_behavior(file, degrees, units=("cm", "degrees"), scale=100.0)

    same(load(write(tmp_path / "a.nwb", fill)), recording)


def test_several_series_must_be_named(tmp_path: Path) -> None:
    recording = heads(5)

    def fill(file: Any) -> None:
        add_units(file, recording)
        add_behavior(file, recording)
        assert recording.position is not None
        file.processing["behavior"]["Position"].create_spatial_series(
            "tail", recording.position.values, "corner", unit="pixels", timestamps=recording.position.times
        )

    path = write(tmp_path / "a.nwb", fill)
    with pytest.raises(
        ValueError, match="it must hold one series of position, or position must name one, got place, tail"
    ):
        load(path)
    same(load(path, position="place"), recording)
    assert load(path, position="tail").notes == ("position has the unit pixels, and is taken to be in m",)


def test_calcium_traces(tmp_path: Path) -> None:
    values = np.random.default_rng(0).standard_normal((40, 3))

    def fill(file: Any) -> None:
        device = file.create_device("microscope")
        channel = pynwb.ophys.OpticalChannel("green", "green", 500.0)
        plane = file.create_imaging_plane("plane", channel, "", device, 600.0, "GCaMP", "MEC")
        segmentation = pynwb.ophys.PlaneSegmentation("cells", plane, "cells")
        for _ in range(3):
            segmentation.add_roi(image_mask=np.ones((2, 2)))
        module = file.create_processing_module("ophys", "traces")
        module.add(pynwb.ophys.ImageSegmentation(plane_segmentations=[segmentation]))
        rois = segmentation.create_roi_table_region("all", region=[0, 1, 2])
        for container, scale in ((pynwb.ophys.Fluorescence, 100.0), (pynwb.ophys.DfOverF, 1.0)):
            series = pynwb.ophys.RoiResponseSeries("response", scale * values, "1", rois, rate=10.0)
            module.add(container(roi_response_series=series))

    found = load(write(tmp_path / "a.nwb", fill))
    assert isinstance(found.activity, Samples)
    assert found.activity.kind == "calcium"
    np.testing.assert_allclose(found.activity.values, values)
    assert found.activity.interval == pytest.approx(0.1)


def test_files_that_are_no_recording(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    empty = write(tmp_path / "a.nwb", lambda file: None)
    with pytest.raises(ValueError, match=r"a\.nwb: it must hold units or a RoiResponseSeries, got neither"):
        load(empty)
    (tmp_path / "b.nwb").write_bytes(empty.read_bytes()[:2000])
    (tmp_path / "c.nwb").write_text("text")
    for name in ("b", "c"):
        with pytest.raises(ValueError, match=rf"{name}\.nwb: it must be an NWB file") as error:
            load(tmp_path / f"{name}.nwb")
        assert "\n" not in str(error.value)
    monkeypatch.setitem(sys.modules, "pynwb", None)
    with pytest.raises(ImportError, match=r"NWB files need pynwb: pip install 'riemod\[recordings\]'"):
        load(empty)


def test_units_seen_at_different_times(tmp_path: Path) -> None:
    def fill(file: Any) -> None:
        file.add_unit(spike_times=[0.5, 1.5], obs_intervals=[[0.0, 2.0]])
        file.add_unit(spike_times=[1.5, 2.5], obs_intervals=[[1.0, 3.0]])

    found = load(write(tmp_path / "a.nwb", fill))
    np.testing.assert_array_equal(found.spans, [[0, 3]])
    assert found.notes == ("the units were observed in different intervals: all time from first to last is used",)
