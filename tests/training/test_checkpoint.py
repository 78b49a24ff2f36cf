"""Checkpoints: whole or not at all, of this run or refused, and never unpickled."""

import hashlib
import json
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from riemod._files import write_atomically, write_json
from riemod._tensor_files import read_header
from riemod.optim import riemannian_adam
from riemod.training import CheckpointError, Run, evaluate, load, train
from riemod.training.checkpoint import POINTER, Checkpoint, save_checkpoint

Bits = Callable[[Run], dict[str, Tensor]]
Same = Callable[[dict[str, Tensor], dict[str, Tensor]], bool]
Contents = Callable[[Path], dict[str, bytes]]


@pytest.fixture
def finished(tmp_path: Path, begin: Callable[..., Run]) -> Run:
    """A finished run."""
    run = begin(tmp_path / "run")
    train(run)
    return run


def weights_file(run: Run) -> Path:
    (file,) = run.folder.checkpoint.glob("*.safetensors")
    return file


def test_loading_gives_back_every_bit(finished: Run, bits: Bits, same: Same):
    loaded = load(finished.folder)
    assert same(bits(loaded), bits(finished))
    assert (loaded.epoch, loaded.seconds, loaded.first_loss) == (3, finished.seconds, finished.first_loss)
    assert loaded.description == finished.description
    steps = [state["step"] for run in (finished, loaded) for state in run.optimizer.members[1].state.values()]
    assert [type(step) for step in steps] == [int, int]


def test_a_checkpoint_is_two_files_that_anyone_can_read(finished: Run):
    assert sorted(path.suffix for path in finished.folder.checkpoint.iterdir()) == [".json", ".safetensors"]
    pointer = json.loads((finished.folder.checkpoint / POINTER).read_text())
    assert pointer["file"] == weights_file(finished).name
    assert pointer["sha256"] == hashlib.sha256(weights_file(finished).read_bytes()).hexdigest()
    tensors = load_file(weights_file(finished))
    assert torch.equal(tensors["model/rnn.weight_hh_l0"], finished.model.get_parameter("rnn.weight_hh_l0"))


def test_nothing_is_ever_unpickled(
    tmp_path: Path, begin: Callable[..., Run], monkeypatch: pytest.MonkeyPatch, bits: Bits, same: Same
):
    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("something was pickled or unpickled")

    for module, names in (
        (pickle, ("load", "loads", "dump", "dumps", "Unpickler", "Pickler")),
        (torch, ("load", "save")),
    ):
        for name in names:
            monkeypatch.setattr(module, name, refuse)
    run = begin(tmp_path / "run")
    train(run)
    assert same(bits(load(run.folder)), bits(run))


@pytest.mark.parametrize("keep", [0, 1, 7, 200, -1])
def test_truncated_weights_are_refused(keep: int, finished: Run, contents: Contents):
    file = weights_file(finished)
    file.write_bytes(file.read_bytes()[:keep])
    assert_refused(finished, contents, "truncated or corrupted")


@pytest.mark.parametrize("place", [0.0, 0.1, 0.5, 0.999])
def test_one_changed_byte_of_the_weights_is_refused(place: float, finished: Run, contents: Contents):
    file = weights_file(finished)
    content = bytearray(file.read_bytes())
    content[int(place * len(content))] ^= 1
    file.write_bytes(content)
    assert_refused(finished, contents, "truncated or corrupted: its SHA-256 differs")


def test_every_truncation_and_changed_byte_of_the_pointer_is_refused(finished: Run, contents: Contents):
    pointer = finished.folder.checkpoint / POINTER
    whole = pointer.read_bytes()
    checkpoint = finished.folder.checkpoint
    kept = json.loads(whole)
    for keep in range(len(whole)):
        damaged = whole[:keep], whole[:keep] + bytes([whole[keep] ^ 1]) + whole[keep + 1 :]
        for content in damaged:
            pointer.write_bytes(content)
            try:
                Checkpoint(checkpoint)
            except CheckpointError:
                continue
            # White space and such: the same JSON in other bytes.
            assert json.loads(content) == kept
    pointer.write_bytes(whole[: len(whole) // 2])
    assert_refused(finished, contents, f"{POINTER} is corrupted")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "corrupted"),
        (b"\xff\xfe\x00", "corrupted"),
        (b"[]", "corrupted"),
        (b"null", "corrupted"),
        (b"{}", "corrupted"),
        (b'{"format": 99, "file": "x", "sha256": "y"}', "has format 99, this version reads 1"),
        (b'{"format": 1, "file": "x.safetensors", "sha256": "y"}', "names x.safetensors, which is missing"),
        (b'{"format": 1, "file": 3, "sha256": "y"}', "corrupted"),
    ],
)
def test_a_pointer_of_nonsense_is_refused(content: bytes, message: str, finished: Run, contents: Contents):
    (finished.folder.checkpoint / POINTER).write_bytes(content)
    assert_refused(finished, contents, message)


def test_a_file_that_is_no_safetensors_is_refused(finished: Run, contents: Contents):
    for content in (b"", b"nonsense", b"\x02\x00\x00\x00\x00\x00\x00\x00{}"):
        weights_file(finished).write_bytes(content)
        digest = hashlib.sha256(content).hexdigest()
        pointer = {"format": 1, "file": weights_file(finished).name, "sha256": digest}
        write_json(finished.folder.checkpoint / POINTER, pointer)
        assert_refused(finished, contents, "is corrupted")


@pytest.mark.parametrize("gone", ["weights", "pointer", "folder"])
def test_missing_files_are_refused(gone: str, finished: Run, contents: Contents):
    """A run that has trained is never taken for one that has not, or an untrained net would be measured as it."""
    if gone == "weights":
        weights_file(finished).unlink()
    elif gone == "pointer":
        (finished.folder.checkpoint / POINTER).unlink()
    else:
        shutil.rmtree(finished.folder.checkpoint)
    assert_refused(finished, contents, "missing")


def assert_refused(run: Run, contents: Contents, message: str) -> None:
    """Loading names the checkpoint and the trouble, and leaves every file of the run as it was."""
    before = contents(run.folder.path)
    with pytest.raises(CheckpointError, match=message) as error:
        load(run.folder)
    assert "checkpoint" in str(error.value)
    assert contents(run.folder.path) == before


@pytest.mark.parametrize(
    ("task", "changes", "message"),
    [
        ("adding", {"hidden_size": 7}, "hidden_size is 7 in it, 6 in config.json"),
        ("adding", {"manifold": "klein"}, "manifold is 'klein' in it, 'torus' in config.json"),
        ("adding", {"manifold": "none", "learn": False}, "manifold is 'none' in it"),
        ("adding", {"learn": False}, "learn is False in it, True in config.json"),
        ("adding", {"seed": 1}, "seed is 1 in it, 0 in config.json"),
        ("adding", {"steps": 5}, "steps is 5 in it, 4 in config.json"),
        ("navigation", {}, "task is 'navigation' in it, 'adding' in config.json"),
    ],
)
def test_a_checkpoint_of_another_run_is_refused(
    task: str, changes: dict[str, Any], message: str, finished: Run, begin: Callable[..., Run], contents: Contents
):
    other = begin(finished.folder.path.with_name("other"), task, **changes)
    shutil.rmtree(finished.folder.checkpoint)
    shutil.copytree(other.folder.checkpoint, finished.folder.checkpoint)
    assert_refused(finished, contents, f"of another run: {message}")


def test_a_checkpoint_serves_with_other_threads_and_more_data_to_measure_on(finished: Run, bits: Bits, same: Same):
    config = finished.config.replace(threads=1, evaluation_batches=7)
    write_json(finished.folder.config_file, finished.description._replace(config=config).to_dict())
    loaded = load(finished.folder)
    assert same(bits(loaded), bits(finished))
    assert evaluate(loaded) != evaluate(finished)


def small_model(size: int = 3) -> nn.Sequential:
    return nn.Sequential(nn.Linear(2, size), nn.ReLU(), nn.Linear(size, 1))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: small_model(4), r"model.0.weight must be \(4, 2\) torch.float32, got \(3, 2\) torch.float32"),
        (lambda: small_model().double(), r"model.0.weight must be \(3, 2\) torch.float64, got \(3, 2\) torch.float32"),
        (lambda: nn.Sequential(nn.Linear(2, 3)), r"its model also has \['2.bias', '2.weight'\]"),
        (lambda: nn.Sequential(*small_model(), nn.Linear(1, 1)), r"its model lacks \['3.bias', '3.weight'\]"),
    ],
)
def test_another_model_is_refused_and_left_alone(build: Callable[[], nn.Module], message: str, tmp_path: Path):
    model = small_model()
    save_checkpoint(tmp_path, {"model": model}, riemannian_adam(model), {})
    other = build()
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=message):
        Checkpoint(tmp_path).load({"model": other}, riemannian_adam(other))
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_another_optimizer_is_refused_and_the_model_left_alone(tmp_path: Path):
    model = small_model()
    save_checkpoint(tmp_path, {"model": model}, riemannian_adam(model), {})
    other = small_model()
    other.get_parameter("0.weight").requires_grad_(False)
    before = {name: value.clone() for name, value in other.state_dict().items()}
    with pytest.raises(CheckpointError, match=r"its optimizer trains \[\[4\]\] .* this one \[\[3\]\]"):
        Checkpoint(tmp_path).load({"model": other}, riemannian_adam(other))
    assert all(torch.equal(value, before[name]) for name, value in other.state_dict().items())


def test_tied_weights_and_progress_survive(tmp_path: Path):
    model = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    model[1].weight = model[0].weight
    progress = {"epoch": 3, "seconds": 0.1 + 0.2, "none": None}
    save_checkpoint(tmp_path, {"model": model}, riemannian_adam(model), progress)
    other = nn.Sequential(nn.Linear(3, 3, bias=False), nn.Linear(3, 3, bias=False))
    checkpoint = Checkpoint(tmp_path)
    checkpoint.load({"model": other})
    assert torch.equal(other.get_parameter("1.weight"), model.get_parameter("0.weight"))
    assert checkpoint.progress == progress


def test_what_json_cannot_say_is_not_saved(tmp_path: Path):
    model = small_model()
    with pytest.raises(ValueError, match="JSON"):
        save_checkpoint(tmp_path, {"model": model}, riemannian_adam(model), {"loss": float("nan")})
    assert list(tmp_path.iterdir()) == []


def test_old_weights_and_what_a_kill_left_are_swept_away(tmp_path: Path):
    model = small_model()
    optimizer = riemannian_adam(model)
    (tmp_path / "notes.txt").write_text("mine")
    for epoch in range(3):
        (tmp_path / ".0123456789abcdef.safetensors.partial").write_bytes(b"half")
        save_checkpoint(tmp_path, {"model": model}, optimizer, {"epoch": epoch})
        assert len(list(tmp_path.glob("*.safetensors*"))) == 1
        assert Checkpoint(tmp_path).progress["epoch"] == epoch
    assert (tmp_path / "notes.txt").read_text() == "mine"


def test_a_write_that_fails_leaves_the_old_content(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    path = tmp_path / "file"
    write_atomically(path, b"old")

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(path, b"new")
    assert path.read_bytes() == b"old"


def test_a_damaged_pointer_does_not_remove_the_checkpoint_among_leftovers(finished: Run):
    folder, weights = finished.folder.checkpoint, weights_file(finished)
    (folder / "0123456789abcdef.safetensors").write_bytes(weights.read_bytes())
    pointer = json.loads((folder / POINTER).read_text())
    (folder / POINTER).write_text(json.dumps(pointer | {"file": "other.safetensors"}))
    with pytest.raises(CheckpointError, match=r"names other\.safetensors, which is missing"):
        load(finished.folder)
    assert weights.is_file()
    (folder / POINTER).write_text(json.dumps(pointer))
    load(finished.folder)
    assert list(folder.glob("*.safetensors*")) == [weights]


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda state: state["progress"].pop("epoch"), "progress must have the key 'epoch'"),
        (
            lambda state: state["progress"].update(epoch=10**6),
            "epoch must be at most the run's 3, got 1000000",
        ),
        (lambda state: state["progress"].update(seconds=None), "progress.seconds must be a number, got null"),
        (lambda state: state["progress"].update(validation_losses=["a"]), r"validation_losses\[0\] must be a number"),
        (lambda state: state["optimizer"][0]["param_groups"][0].update(lr="fast"), "option lr .* got 'fast'"),
        (lambda state: state["optimizer"][0]["param_groups"][0].update(betas=[0.9]), "betas .* must be 2 numbers"),
        (lambda state: state["optimizer"][0]["param_groups"][0].update(capturable=True), "capturable .* must be False"),
        (lambda state: state["optimizer"][0]["param_groups"][0].pop("params"), "names no parameters"),
        (lambda state: state["optimizer"][0]["param_groups"][0]["params"].reverse(), "must be real numbers of shape"),
        (lambda state: state["optimizer"][0]["numbers"].update({"77": {}}), "optimizer's parameters, got '77'"),
        (lambda state: state["optimizer"][1]["numbers"]["0"].update(step="one"), "step"),
        (lambda state: state["optimizer"].append(None), r"state.optimizer\[2\] must be an object, got null"),
    ],
)
def test_a_state_of_other_types_is_refused_although_its_checksum_fits(
    change: Callable[[dict[str, Any]], object], message: str, finished: Run
):
    weights = weights_file(finished)
    state = json.loads(read_header(weights)[1]["state"])
    change(state)
    content = to_bytes(load_file(weights), metadata={"state": json.dumps(state)})
    weights.write_bytes(content)
    pointer = {"format": 1, "file": weights.name, "sha256": hashlib.sha256(content).hexdigest()}
    (finished.folder.checkpoint / POINTER).write_text(json.dumps(pointer))
    with pytest.raises(CheckpointError, match=message):
        load(finished.folder)
