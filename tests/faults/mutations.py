"""Mutated files: every one reads to something valid, or raises the error that the reader documents.

`run(count, seed)` tries that many mutations of each kind of file. A mutation depends on the seed, the kind and its
number alone.
"""

import hashlib
import io
import json
import random
import struct
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import torch
from rich.console import Console
from safetensors.torch import save
from torch import Tensor, nn

from riemod import sparse
from riemod._tensor_files import read_header, read_tensors, to_sealed_bytes
from riemod.cli.tables import progress_table, record_table
from riemod.tasks import TASKS
from riemod.training import CheckpointError, RunDescription, RunError, RunFolder, load, start, train

CONFIG: dict[str, Any] = {
    "hidden_size": 6,
    "steps": 4,
    "batch_size": 8,
    "evaluation_batches": 2,
    "epochs": 2,
    "batches_per_epoch": 3,
    "dense_epochs": 0,
    "tail_epochs": 0,
    "manifold": "torus",
    "learn": True,
    "sparsity": 0.75,
}
DEEP = "@deep@"
VALUES: list[Any] = [None, True, False, 0, -1, 3, 2**31, 2**63, 10**30, 10**400, 0.5, -0.5, 1e308, float("nan")]
VALUES += [float("inf"), "", "text", "[bold red]x[/bold red]", "[/]", ":smile:", "\x1b[31m\x07\n", "\ud800", "7" * 5000]
VALUES += [[], {}, [None], [[[]]], {"": None}, ["a", 1], DEEP]

Mutation = Callable[[random.Random, bytes], bytes]


class Kind(NamedTuple):
    """Holds a kind of file: how to change it, how to read it, what may be raised, and whether no change may pass."""

    name: str
    path: Path
    mutate: Mutation
    read: Callable[[], object]
    errors: tuple[type[Exception], ...]
    refuses_changes: bool = False
    names: str = ""


class Result(NamedTuple):
    """Holds how many mutations were tried, survived and failed, and a line about each failure."""

    tried: int
    survived: int
    failed: int
    failures: list[str]


def run(count: int, seed: int) -> Result:
    """Try that many mutations of each kind of file.

    Returns:
        (tried, survived, failed, failures). Survived is a file that reads to something valid or is refused as
        documented; each failure is one line.
    """
    failures: list[str] = []
    tried = 0
    with tempfile.TemporaryDirectory() as folder, torch.random.fork_rng():
        for kind in kinds(Path(folder)):
            for number in range(count):
                tried += 1
                problem = attempt(kind, seed, number)
                if problem is not None:
                    failures.append(f"{kind.name}, seed {seed}, number {number}: {problem}")
    return Result(tried, tried - len(failures), len(failures), failures)


def attempt(kind: Kind, seed: int, number: int) -> str | None:
    """Read one mutated file; return what is wrong, or None. The file is as before afterwards."""
    whole = kind.path.read_bytes()
    content = kind.mutate(random.Random(f"{seed} {kind.name} {number}"), whole)
    with _restored(kind.path):
        kind.path.write_bytes(content)
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                kind.read()
        except kind.errors as error:
            return _poor_message(str(error), kind.names)
        except Exception as error:
            return f"{type(error).__name__}: {str(error)[:200]!r}"
    return "was read although it was changed" if kind.refuses_changes and content != whole else None


def kinds(folder: Path) -> Iterator[Kind]:
    """Make the files of every kind below a folder, and yield each kind."""
    torch.manual_seed(0)
    own = RunFolder(folder / "run")
    config = TASKS["adding"].presets["smoke"].replace(**CONFIG)
    train(start(own, RunDescription("adding", config, None)))
    run_errors = (RunError, CheckpointError)
    yield Kind("record.json", own.record_file, mutate_text, lambda: _show_record(own), run_errors, names="record.json")
    yield Kind("metrics.jsonl", own.metrics_file, mutate_text, lambda: _show_rows(own), run_errors, names=".jsonl")
    # A valid config may ask for what this machine has not.
    config_errors = (*run_errors, ValueError)
    yield Kind("config.json", own.config_file, mutate_text, lambda: _resume(own), config_errors)
    pointer = own.checkpoint / "latest.json"
    yield Kind("latest.json", pointer, mutate_text, lambda: _resume(own), run_errors)
    (weights,) = own.checkpoint.glob("*.safetensors")
    yield Kind("a checkpoint", weights, mutate_bytes, lambda: _resume(own), run_errors, refuses_changes=True)

    def resealed() -> None:
        content = json.loads(pointer.read_text()) | {"sha256": hashlib.sha256(weights.read_bytes()).hexdigest()}
        with _restored(pointer):
            pointer.write_text(json.dumps(content))
            _resume(own)

    yield Kind("a checkpoint with its checksum", weights, mutate_tensors, resealed, run_errors)
    net = _net()
    for layout in ("csr", "block16", "dense"):
        path = folder / f"{layout}.safetensors"
        layouts = {"0.weight_hh_l0": layout, "1.weight": "csr"} if layout == "dense" else layout
        sparse.save(sparse.compress(net, layouts), path)
        reading = (lambda path=path: _run_compressed(path), (ValueError,))
        yield Kind(f"a compressed file, {layout}", path, mutate_bytes, *reading, refuses_changes=True, names=str(path))
        yield Kind(f"a compressed file with its checksum, {layout}", path, mutate_sealed, *reading, names=str(path))
        old = folder / f"{layout}-old.safetensors"
        old.write_bytes(_without_checksum(path))
        reading = (lambda path=old: _run_compressed(path), (ValueError,))
        yield Kind(f"a compressed file without checksum, {layout}", old, mutate_bytes, *reading, names=str(old))


def mutate_bytes(draw: random.Random, content: bytes) -> bytes:
    """Flip bits, cut off, overwrite, insert, repeat, or change the length in front."""
    place, length = draw.randrange(len(content)), draw.choice((1, 8, 100))
    changed = bytearray(content)
    match draw.randrange(8):
        case 0 | 1:
            for _ in range(draw.choice((1, 1, 4))):
                end = min(len(content), draw.choice((64, 2000, len(content))))
                changed[draw.randrange(end)] ^= 1 << draw.randrange(8)
        case 2:
            del changed[place:]
        case 3:
            changed[place : place + length] = bytes([draw.choice((0, 255, 32, 34))]) * length
        case 4:
            changed[place:place] = draw.randbytes(length)
        case 5:
            changed += changed[place : place + length]
        case 6:
            changed[:8] = struct.pack("<Q", draw.choice((0, 1, 2**16, 2**31, 2**40, 2**63, 2**64 - 1)))
        case _:
            del changed[place : place + length]
    return bytes(changed)


def mutate_text(draw: random.Random, content: bytes) -> bytes:
    """Change a JSON text: one of its values, or its bytes; of several lines, one of them."""
    if draw.random() < 0.25:
        return mutate_bytes(draw, content)
    lines = content.splitlines(keepends=True) if content.count(b"\n{") else [content]
    number = draw.randrange(len(lines))
    lines[number] = mutate_value(draw, lines[number].decode()).encode() + b"\n"
    return b"".join(lines)


def mutate_value(draw: random.Random, text: str) -> str:
    """Put another value in a place of a JSON text, remove one, exchange two, or give a key another name."""
    root = [json.loads(text)]
    places = list(_places(root))
    (holder, key), (other, second) = draw.choice(places), draw.choice(places)
    action = draw.randrange(6) if isinstance(holder, dict) else 0
    if action == 1:
        del holder[key]
    elif action == 2:
        holder[draw.choice(("", "x", "epoch", "[bold]y[/bold]", "\ud800", "\x1b[2J"))] = holder.pop(key)
    elif action == 3:
        holder[key], other[second] = json.loads(json.dumps([other[second], holder[key]]))
    else:
        holder[key] = draw.choice(VALUES)
    return json.dumps(root[0]).replace(json.dumps(DEEP), "[" * 5000 + "]" * 5000)


def mutate_tensors(draw: random.Random, content: bytes) -> bytes:
    """Change a value of the JSON among a safetensors file's metadata, or its tensors, and write the file again."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "file"
        path.write_bytes(content)
        metadata, tensors = read_header(path)[1], read_tensors(path)
    metadata.pop("sha256", None)
    if draw.random() < 0.5:
        key = draw.choice([key for key in metadata if key != "format"])
        metadata[key] = mutate_value(draw, metadata[key])
    else:
        _mutate_tensor(draw, tensors)
    return to_sealed_bytes(tensors, metadata)


def mutate_sealed(draw: random.Random, content: bytes) -> bytes:
    """Change a compressed file as someone can who also writes the right checksum."""
    return mutate_tensors(draw, content)


def _mutate_tensor(draw: random.Random, tensors: dict[str, Tensor]) -> None:
    name, other = draw.choice(sorted(tensors)), draw.choice(sorted(tensors))
    tensor = tensors[name]
    match draw.randrange(7):
        case 0:
            del tensors[name]
        case 1:
            tensors[name], tensors[other] = tensors[other].clone(), tensor.clone()
        case 2:
            kinds = torch.float64, torch.int64, torch.bool, torch.uint8, torch.complex64
            tensors[name] = tensor.to(draw.choice(kinds))
        case 3:
            tensors[name] = tensor.reshape(-1)[: tensor.numel() // 2].clone()
        case 4:
            tensors[name] = tensor.unsqueeze(0).clone()
        case 5:
            filling = draw.choice((-1, 1, 2**15 - 1, float("nan")))
            number = 1 if filling != filling and not tensor.is_floating_point() else filling
            tensors[name] = torch.full_like(tensor, number)
        case _:
            tensors[draw.choice(("x", "", "0.x_mask", "1.weight_order", f"{name}_mask"))] = tensor.clone()


def _places(value: Any) -> Iterator[tuple[Any, Any]]:
    items = value.items() if isinstance(value, dict) else enumerate(value)
    for key, inner in items:
        yield value, key
        if isinstance(inner, dict | list):
            yield from _places(inner)


def _poor_message(message: str, names: str) -> str | None:
    if "\n" in message or len(message) > 2000 or not message.isprintable():
        return f"its message is not one printable line: {message[:300]!r}"
    return None if names in message else f"its message does not name the file: {message[:300]!r}"


@contextmanager
def _restored(path: Path) -> Iterator[None]:
    whole = path.read_bytes()
    try:
        yield
    finally:
        path.write_bytes(whole)


def _printed(table: Any) -> None:
    file = io.StringIO()
    Console(file=file, width=120).print(table)
    text = file.getvalue()
    text.encode()
    assert "\x1b" not in text
    assert "\x07" not in text


def _show_record(folder: RunFolder) -> None:
    _printed(record_table("run", folder.read_record()))


def _show_rows(folder: RunFolder) -> None:
    _printed(progress_table("run", folder.read_description(), folder.read_metrics()))


def _resume(folder: RunFolder) -> None:
    """Load a run and take one step, which uses all that was loaded."""
    run = load(folder)
    batch = next(iter(run.task.batches(torch.Generator().manual_seed(0), 1)))
    run.task.loss(run.model, batch).backward()
    run.optimizer.step()


def _net() -> nn.Module:
    layers = nn.Sequential(nn.GRU(3, 20, num_layers=1), nn.Linear(20, 4))
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        for parameter in layers.parameters():
            if parameter.ndim > 1:
                parameter *= torch.rand(parameter.shape, generator=generator) < 0.2
    return layers


def _run_compressed(path: Path) -> None:
    """Load a compressed net and call its layers."""
    loaded = sparse.load(path, _net())
    loaded.get_submodule("1")(loaded.get_submodule("0")(torch.ones(2, 3, 3))[0]).sum().backward()


def _without_checksum(path: Path) -> bytes:
    """Return the file as it was written before files had a checksum."""
    metadata = {key: value for key, value in read_header(path)[1].items() if key != "sha256"}
    return save(read_tensors(path), metadata={**metadata, "format": "riemod.sparse 1"})
