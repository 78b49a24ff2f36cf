"""What `riemod doctor` finds on this machine, and what it says of others."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

import riemod
from riemod import _machine
from riemod.cli import doctor_notes
from riemod.cli.commands import main
from riemod.cli.doctor import examine
from riemod.cli.doctor_notes import notes_on
from tests.cli.text import flat

HEALTHY: dict[str, Any] = {
    "machine": {"threads": 4, "cores": 4, "memory_free": 2**34, "disk_free": 2**36},
    "devices": [{"name": "cpu", "model": None, "memory": 2**35}, {"name": "cuda:0", "model": "a GPU", "memory": 2**36}],
    "compiler": {"path": "/usr/bin/g++", "python_headers": True, "switched_off_by": []},
    "cache": {"folder": "/tmp/cache", "bytes": 0, "writable": True},
    "extras": {"topology": {"installed": True, "missing": []}},
}
GPU = "a run trains on the CPU unless it is told otherwise: --device cuda"


def test_doctor_finds_what_is_here(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "kernels"))
    (tmp_path / "kernels").mkdir()
    (tmp_path / "kernels" / "one.so").write_bytes(bytes(1000))
    main(["doctor", "--json"])
    found = json.loads(capsys.readouterr().out)
    assert found["versions"]["riemod"] == riemod.__version__
    assert found["versions"]["torch"] == torch.__version__
    assert found["devices"][0] == {"name": "cpu", "model": None, "memory": _machine.main_memory()}
    assert found["machine"]["threads"] == torch.get_num_threads()
    assert 0 < found["machine"]["memory_free"] <= found["machine"]["memory"]
    assert found["cache"] == {"folder": str(tmp_path / "kernels"), "bytes": 1000, "writable": True}
    assert {"topology", "lightning", "transformers", "tensorboard"} <= set(found["extras"])
    assert not {"dev", "docs"} & set(found["extras"])
    main(["doctor"])
    text = flat(capsys.readouterr().out)
    assert f"torch {torch.__version__}" in text
    assert "kernel cache" in text
    for note in found["notes"]:
        assert note in text


def test_a_missing_extra_is_named_with_its_cure(monkeypatch: pytest.MonkeyPatch):
    from riemod.cli import doctor

    monkeypatch.setattr(doctor, "_version", lambda name: None if name == "ripser" else "1.0")
    found = examine()
    assert found["extras"]["topology"] == {"installed": False, "missing": ["ripser"]}
    note = next(note for note in found["notes"] if "topology" in note)
    assert "ripser missing" in note
    assert note.endswith("pip install 'riemod[topology]'")


def changed(**changes: Any) -> dict[str, Any]:
    found = copy.deepcopy(HEALTHY)
    for path, value in changes.items():
        group, _, key = path.partition("__")
        if key:
            found[group][key] = value
        else:
            found[group] = value
    return found


@pytest.mark.parametrize(
    ("found", "expected"),
    [
        (HEALTHY, GPU),
        (changed(compiler__path=None), "there is no C++ compiler: "),
        (changed(compiler__python_headers=False), "Python.h is missing: "),
        (changed(compiler__switched_off_by=["TORCHDYNAMO_DISABLE"]), "TORCHDYNAMO_DISABLE=1 switches torch.compile"),
        (changed(cache__writable=False), "the kernel cache /tmp/cache cannot be written: every process compiles"),
        (
            changed(machine__threads=8),
            "torch uses 8 threads on 4 cores, which slows all of them: ",
        ),
        (changed(machine__threads=1), "torch uses 1 of 4 cores: "),
        (changed(machine__memory_free=2**29), "512 MiB of memory are free: "),
        (changed(machine__memory_free=None), GPU),
        (changed(machine__disk_free=2**20), "1 MiB of the disk here are free: "),
        (changed(devices=HEALTHY["devices"][:1]), "there is no GPU: "),
    ],
)
def test_what_would_be_slow_is_said(found: dict[str, Any], expected: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.delenv("CXX", raising=False)
    monkeypatch.setattr("torch.version.cuda", None)
    monkeypatch.setattr(doctor_notes.shutil, "which", lambda name: None)
    notes = notes_on(found)
    assert any(note.startswith(expected) for note in notes)
    assert len(notes) == (1 if expected == GPU or found["devices"] != HEALTHY["devices"] else 2)


def test_why_there_is_no_gpu_is_said(monkeypatch: pytest.MonkeyPatch):
    found = changed(devices=HEALTHY["devices"][:1])
    monkeypatch.setattr("torch.version.cuda", "12.8")
    assert notes_on(found)[0].startswith("torch is built for CUDA 12.8, but finds no GPU or no driver")
    monkeypatch.setattr("torch.version.cuda", None)
    monkeypatch.setattr(doctor_notes.shutil, "which", lambda name: f"/usr/bin/{name}")
    assert notes_on(found)[0].startswith("there is an NVIDIA driver, but torch is built without CUDA")


def test_free_memory_is_what_the_system_and_the_container_leave(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    files: dict[str, Callable[[str], int]] = {
        name: (tmp_path / name).write_text for name in ("_MEMORY", "_CONTAINER_LIMIT", "_CONTAINER_USE")
    }
    for name in files:
        monkeypatch.setattr(_machine, name, tmp_path / name)
    assert _machine.free_memory() is None
    files["_MEMORY"]("MemTotal:  2000 kB\nMemAvailable:  1000 kB\n")
    assert _machine.free_memory() == 1_024_000
    files["_CONTAINER_LIMIT"]("max\n")
    files["_CONTAINER_USE"]("500000\n")
    assert _machine.free_memory() == 1_024_000
    files["_CONTAINER_LIMIT"]("700000\n")
    assert _machine.free_memory() == 200_000
    files["_CONTAINER_USE"]("800000\n")
    assert _machine.free_memory() == 0
