"""Checks of the files of a run when they are read: sizes, types and ranges of what anyone may have changed.

Every fault is a `DamagedFile`; `RunFolder` and `Checkpoint` name the file.
"""

import hashlib
import math
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NotRequired, TypedDict

import torch
from torch import Tensor

from riemod._tensor_files import check_size, read_header, read_tensors
from riemod._untrusted import (
    Amount,
    Count,
    DamagedFile,
    Share,
    check_shape,
    one_line,
    parse_json,
    read_bytes,
    shown,
)

SMALL_FILE, RECORD_FILE, METRICS_FILE = 2**20, 2**22, 2**26  # most bytes
_FILE = re.compile(r"[\w-]{1,80}\.safetensors", re.ASCII)
_MOST_METRICS = 256
# torch's choice of how to compute a step, which may be another one on another machine.
_FREE_FLAGS = ("foreach", "fused")
_ADAM = frozenset({"step", "exp_avg", "exp_avg_sq"})


class Description(TypedDict):
    """Lists what config.json holds."""

    task: str
    config: dict[str, Any]
    ticket_of: str | None


class _Value(TypedDict):
    value: float
    unit: str


class _Time(TypedDict):
    value: Amount
    unit: str


class _Versions(TypedDict):
    torch: str


class _Machine(TypedDict):
    architecture: str
    threads: Count
    cuda_device: str | None


class Record(TypedDict):
    """Lists what record.json holds, as far as it is read again."""

    task: str
    config: dict[str, Any]
    ticket_of: str | None
    commit: str | None
    versions: _Versions
    machine: _Machine
    wall_time: _Time
    strength: NotRequired[_Value]
    parameters: Count
    sparsity: dict[str, Share]
    metrics: dict[str, _Value]
    levels: dict[str, _Value]


class _Pointer(TypedDict):
    format: int
    file: str
    sha256: str


class _Member(TypedDict):
    numbers: dict[str, dict[str, float | bool | None]]
    param_groups: list[dict[str, Any]]


class _State(TypedDict):
    optimizer: list[_Member]
    progress: dict[str, Any]


class _Progress(TypedDict):
    run: Description
    epoch: Count
    seconds: Amount
    first_loss: float | None
    validation_losses: NotRequired[list[float]]
    data: NotRequired[dict[str, Any]]


def read_description(path: Path) -> dict[str, Any]:
    """Return the values of a config.json."""
    return _read_object(path, SMALL_FILE, Description)


def read_record(path: Path) -> dict[str, Any]:
    """Return the values of a record.json."""
    record = _read_object(path, RECORD_FILE, Record)
    if "total" not in record["sparsity"]:
        raise DamagedFile("sparsity must have the key 'total', got none")
    return record


def read_rows(path: Path) -> list[dict[str, Any]]:
    """Return the rows of a metrics.jsonl, without a last line that a crash cut off.

    NaN and infinity are allowed: a metric of a net may be that.
    """
    *lines, rest = read_bytes(path, METRICS_FILE).split(b"\n")
    rows: list[dict[str, Any]] = []
    for number, line in enumerate([*lines, rest] if rest else lines, 1):
        try:
            row = parse_json(line, allow_nan=True)
            _check_row(row, rows[-1]["epoch"] if rows else -1)
        except DamagedFile as error:
            if number > len(lines):
                break
            raise DamagedFile(f"line {number}: {error}") from error
        rows.append(row)
    return rows


def read_pointer(path: Path, known: int) -> tuple[str, str]:
    """Return the name of the checkpoint's file, in the same folder, and its SHA-256."""
    content = _read_object(path, SMALL_FILE, dict[str, Any])
    if content.get("format") != known:
        check_shape(content, _Pointer)
        raise DamagedFile(f"it has format {content['format']}, this version reads {known}")
    check_shape(content, _Pointer)
    if not _FILE.fullmatch(content["file"]):
        raise DamagedFile(f"file must be the name of a safetensors file in its folder, got {shown(content['file'])}")
    return content["file"], content["sha256"]


def sha256_of(path: Path) -> str:
    """Return the SHA-256 of a file that fits the memory of this machine, in hexadecimal digits."""
    check_size(path)
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def read_state(path: Path) -> tuple[dict[str, Tensor], dict[str, Any], list[dict[str, Any]]]:
    """Return a checkpoint's tensors, its progress, and the numbers of its optimizer's members."""
    metadata = read_header(path)[1]
    if "state" not in metadata:
        raise DamagedFile("its metadata must have the key 'state', got none")
    state = parse_json(metadata["state"])
    check_shape(state, _State, "state")
    return read_tensors(path), state["progress"], state["optimizer"]


def check_progress(progress: Mapping[str, Any], epochs: int) -> None:
    """Check what a checkpoint says of a run's progress.

    Args:
        progress: as `read_state` gives it.
        epochs: of the whole run.
    """
    check_shape(progress, _Progress, "progress")
    if progress["epoch"] > epochs:
        raise DamagedFile(f"progress.epoch must be at most the run's {epochs}, got {shown(progress['epoch'])}")


def complete_member(
    member: Mapping[str, Any], own: torch.optim.Optimizer, tensors: Mapping[str, Mapping[str, Tensor]]
) -> dict[str, Any]:
    """Return the state dict of one optimizer of a checkpoint, checked against the optimizer that will load it.

    Args:
        member: the numbers of the state, as `read_state` gives them.
        own: of the same parameters, in groups of the same sizes.
        tensors: of the state, by parameter and name.
    """
    parameters = [parameter for group in own.param_groups for parameter in group["params"]]
    groups = []
    for saved, group in zip(member["param_groups"], own.param_groups, strict=True):
        check_shape(saved["params"], list[Count], "params")
        # A later torch may know options that the checkpoint does not have.
        groups.append({**{key: group[key] for key in group if key not in saved}, **saved})
        for key, value in group.items():
            if key != "params" and key in saved:
                _check_option(key, saved[key], value)
    order = [index for group in groups for index in group["params"]]
    if len(set(order)) < len(order):
        raise DamagedFile("params must name each parameter once, got one twice")
    state: dict[int, dict[str, Any]] = {}
    for key, numbers in member["numbers"].items():
        if not key.isdecimal() or not key.isascii() or int(key) not in order:
            raise DamagedFile(f"numbers must be of the optimizer's parameters, got {shown(key)}")
        state[int(key)] = numbers | {name: tensor.clone() for name, tensor in tensors[key].items()}
        _check_parameter(int(key), state[int(key)], parameters[order.index(int(key))], own)
    return {"state": state, "param_groups": groups}


def _check_option(key: str, saved: Any, own: Any) -> None:
    name = f"option {key} of the optimizer"
    if own is None or isinstance(own, bool):
        check_shape(saved, bool | None, name)
        if key not in _FREE_FLAGS and saved != own:
            raise DamagedFile(f"{name} must be {own}, got {saved}")
    elif isinstance(own, int | float):
        check_shape(saved, Amount, name)
    elif isinstance(own, tuple | list):
        check_shape(saved, list[Share], name)
        if len(saved) != len(own) or any(share == 1 for share in saved):
            raise DamagedFile(f"{name} must be {len(own)} numbers in [0, 1), got others")


def _check_parameter(index: int, state: Mapping[str, Any], parameter: Tensor, own: torch.optim.Optimizer) -> None:
    missing = _ADAM - state.keys() if state and isinstance(own, torch.optim.Adam) else ()
    if missing:
        raise DamagedFile(f"state of parameter {index} must have {sorted(missing)}, got none")
    for name, value in state.items():
        if isinstance(value, Tensor):
            is_number = not value.is_complex() and value.dtype != torch.bool
            is_step = name == "step" and value.ndim == 0
            if not is_number or not (is_step or value.shape == parameter.shape):
                raise DamagedFile(
                    f"{one_line(name)} of parameter {index} must be real numbers of shape {tuple(parameter.shape)}, "
                    f"got {value.dtype} of {tuple(value.shape)}"
                )
        elif name in _ADAM - {"step"}:
            raise DamagedFile(f"{name} of parameter {index} must be a tensor, got {shown(value)}")
        if name == "step" and not (isinstance(value, Tensor) and value.ndim):
            check_shape(value.item() if isinstance(value, Tensor) else value, Amount, f"step of parameter {index}")


def _check_row(row: Any, before: int) -> None:
    check_shape(row, dict[str, Any])
    if "epoch" not in row:
        raise DamagedFile("it must have the key 'epoch', got none")
    check_shape(row["epoch"], Count, "epoch")
    if row["epoch"] <= before:
        raise DamagedFile(f"epoch must be above {before}, that of the line before, got {shown(row['epoch'])}")
    if len(row) > _MOST_METRICS:
        raise DamagedFile(f"it must have at most {_MOST_METRICS} metrics, got {len(row)}")
    for key, value in row.items():
        if not (isinstance(value, float) and not math.isfinite(value)):
            check_shape(value, float, one_line(key)[:60])


def _read_object(path: Path, most: int, shape: Any) -> dict[str, Any]:
    value = parse_json(read_bytes(path, most))
    check_shape(value, shape)
    return value
