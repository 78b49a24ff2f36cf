"""A disk that is full while a run trains: the last checkpoint stays, one line says so, and the run goes on later."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from torch import Tensor

from riemod._files import append_line, make_folder, sync_folder, write_atomically
from riemod.training import Run, RunFolder, load, train

pytest.importorskip("resource")
BIG = ["--preset", "smoke", "--hidden-size", "128", "--batches-per-epoch", "4", "--epochs", "3", "--tail-epochs", "1"]
# The first checkpoint has no moments of Adam yet: it fits in 120 kB, and the second one does not.
LIMITED = """
import os, resource, sys
resource.setrlimit(resource.RLIMIT_FSIZE, (120_000, resource.RLIM_INFINITY))
os.execv(sys.executable, [sys.executable, "-m", "riemod", *sys.argv[1:]])
"""


def test_a_file_that_grows_too_large_costs_no_checkpoint(tmp_path: Path):
    folder, whole = RunFolder(tmp_path / "run"), RunFolder(tmp_path / "whole")
    options = ["train", "adding", *BIG, "--manifold", "none", "--threads", "1", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, *options, "--out", str(folder.path)], capture_output=True, text=True
    )
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith(f"riemod: error: [Errno 27] File too large: '{folder.checkpoint}")
    assert done.stderr.endswith(
        f"the last checkpoint is kept, go on when this is mended: riemod resume {folder.path}\n"
    )
    assert load(folder).epoch == 0
    assert len(list(folder.checkpoint.iterdir())) == 2
    train(load(folder))
    whole.create(folder.read_description())
    train(load(whole))
    assert folder.metrics_file.read_bytes() == whole.metrics_file.read_bytes()
    assert folder.read_record()["metrics"] == whole.read_record()["metrics"]


@pytest.mark.parametrize("moment", range(12))
def test_a_disk_that_fills_up_at_any_sync_costs_nothing(
    moment: int,
    tmp_path: Path,
    begin: Callable[..., Run],
    bits: Callable[[Run], dict[str, Tensor]],
    same: Callable[[dict[str, Tensor], dict[str, Tensor]], bool],
):
    whole, run = begin(tmp_path / "whole"), begin(tmp_path / "run")
    train(whole)
    sync, count = os.fsync, 0

    def full(descriptor: int) -> None:
        nonlocal count
        count += 1
        if count > moment:
            raise OSError(28, "No space left on device")
        sync(descriptor)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(OSError, match="No space left on device"):
            train(run)
    assert not [path for path in run.folder.path.rglob("*") if path.name.endswith(".partial") or "lock" in path.name]
    again = load(run.folder)
    train(again)
    assert same(bits(again), bits(whole))
    assert run.folder.metrics_file.read_bytes() == whole.folder.metrics_file.read_bytes()


def synced(monkeypatch: pytest.MonkeyPatch) -> list[Path]:
    """What is synced from now on."""
    paths: list[Path] = []
    monkeypatch.setattr(os, "fsync", lambda descriptor: paths.append(Path(f"/proc/self/fd/{descriptor}").readlink()))
    return paths


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs /proc to name an open file")
def test_a_file_and_its_folder_are_synced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    paths = synced(monkeypatch)
    make_folder(tmp_path / "a")
    write_atomically(tmp_path / "a" / "b", b"c")
    append_line(tmp_path / "a" / "d", "e")
    assert paths == [tmp_path, tmp_path / "a" / ".b.partial", tmp_path / "a", tmp_path / "a" / "d"]


def test_a_file_system_that_cannot_sync_folders_is_no_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    def fail(number: int) -> Callable[..., Any]:
        def call(*_: object) -> None:
            raise OSError(number, os.strerror(number))

        return call

    sync_folder(tmp_path / "missing")
    monkeypatch.setattr(os, "fsync", fail(22))
    sync_folder(tmp_path)
    monkeypatch.setattr(os, "fsync", fail(5))
    with pytest.raises(OSError, match=str(tmp_path)):
        sync_folder(tmp_path)
