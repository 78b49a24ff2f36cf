"""Checkpoints that are written whole or not at all, and read without unpickling anything.

A checkpoint folder holds one safetensors file with every tensor, and all other values in its metadata. `latest.json`
names that file and its SHA-256, so that a changed byte is detected. Replacing `latest.json` is the commit: a process
that is killed before it leaves the old checkpoint, and one that is killed after it leaves the new one. Both may leave
a file that no checkpoint needs: the next save or `sweep` removes it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save
from torch import Tensor, nn

from riemod._files import make_folder, write_atomically, write_json
from riemod._untrusted import DamagedFile
from riemod.optim import JointOptimizer
from riemod.regularization.costs import current_names
from riemod.training.reading import complete_member, read_pointer, read_state, sha256_of

POINTER = "latest.json"
_FORMAT = 1


class CheckpointError(RuntimeError):
    """Reports a checkpoint that is missing, damaged, or of another model."""


def save_checkpoint(
    folder: Path,
    modules: Mapping[str, nn.Module],
    optimizer: JointOptimizer,
    progress: Mapping[str, Any],
) -> str:
    """Write the modules' states, the optimizer's state and JSON-ready progress atomically.

    Args:
        folder: is made if needed.
        modules: by the name under which `load_checkpoint` will find them.
        optimizer: its tensors are saved as tensors, its numbers with the progress.
        progress: JSON-ready values, such as the number of finished epochs.

    Returns:
        The checkpoint's SHA-256, in hexadecimal digits.
    """
    make_folder(folder)
    tensors: dict[str, Tensor] = {}
    for name, module in modules.items():
        tensors.update({f"{name}/{key}": value for key, value in module.state_dict().items()})
    members = []
    for index, state_dict in enumerate(optimizer.state_dict()["members"]):
        numbers: dict[str, dict[str, Any]] = {}
        for parameter, state in state_dict["state"].items():
            numbers[str(parameter)] = {key: value for key, value in state.items() if not isinstance(value, Tensor)}
            for key, value in state.items():
                if isinstance(value, Tensor):
                    tensors[f"optimizer/{index}/{parameter}/{key}"] = value
        members.append({"numbers": numbers, "param_groups": state_dict["param_groups"]})
    # Clones, because safetensors refuses tensors that share memory, as tied weights do.
    tensors = {key: value.detach().cpu().contiguous().clone() for key, value in tensors.items()}
    state = json.dumps({"optimizer": members, "progress": dict(progress)}, allow_nan=False)
    content = save(tensors, metadata={"state": state})
    digest = hashlib.sha256(content).hexdigest()
    file = f"{digest[:16]}.safetensors"
    write_atomically(folder / file, content)
    write_json(folder / POINTER, {"format": _FORMAT, "file": file, "sha256": digest})
    sweep(folder, file)
    return digest


def committed_digest(folder: Path) -> str | None:
    """Return the SHA-256 that the folder's `latest.json` names; None if there is no checkpoint.

    Raises:
        CheckpointError: if `latest.json` is damaged.
    """
    return _read_pointer(folder / POINTER)[1] if (folder / POINTER).is_file() else None


def has_leftovers(folder: Path) -> bool:
    """Return whether a checkpoint folder holds a file that its checkpoint does not need, or that a save writes now."""
    return len(_tensor_files(folder)) > 1


def sweep(folder: Path, file: str | None = None) -> None:
    """Remove what killed processes left in a checkpoint folder, while no other process writes there.

    Args:
        folder: of the checkpoint.
        file: name of the file to keep; None for the one that `latest.json` names.
    """
    keep = _read_pointer(folder / POINTER)[0] if file is None else file
    for old in _tensor_files(folder):
        if old.name != keep:
            old.unlink(missing_ok=True)


def _tensor_files(folder: Path) -> list[Path]:
    # The second star also finds partial files, which a killed process may have left.
    return list(folder.glob("*.safetensors*"))


def _read_pointer(pointer: Path) -> tuple[str, str]:
    """Return the name and the SHA-256 of the file that holds the checkpoint."""
    try:
        return read_pointer(pointer, _FORMAT)
    except DamagedFile as error:
        raise CheckpointError(f"checkpoint {pointer} is corrupted: {error}") from error


class Checkpoint:
    """Holds a checkpoint that was read from disk and found whole.

    Args:
        folder: as given to `save_checkpoint`.

    Raises:
        CheckpointError: if there is none, or it is truncated, corrupted or of an unknown format.
    """

    def __init__(self, folder: Path) -> None:
        pointer = folder / POINTER
        if not pointer.is_file():
            raise CheckpointError(f"no checkpoint in {folder}: {POINTER} is missing")
        while True:
            file, self.digest = _read_pointer(pointer)
            try:
                self._read(folder / file)
                return
            except FileNotFoundError:
                # A process that trains the run may have replaced its checkpoint just now.
                if committed_digest(folder) == self.digest:
                    raise CheckpointError(f"checkpoint {pointer} names {file}, which is missing") from None

    def _read(self, path: Path) -> None:
        try:
            if sha256_of(path) != self.digest:
                raise CheckpointError(
                    f"checkpoint {path} is truncated or corrupted: its SHA-256 differs from {POINTER}'s"
                )
            self._tensors, self.progress, self._members = read_state(path)
        except DamagedFile as error:
            raise CheckpointError(f"checkpoint {path} is corrupted: {error}") from error

    def state(self, name: str) -> dict[str, Tensor]:
        """Return the state dict of one module, empty if it was not saved."""
        prefix = f"{name}/"
        return {key.removeprefix(prefix): value for key, value in self._tensors.items() if key.startswith(prefix)}

    def load(self, modules: Mapping[str, nn.Module], optimizer: JointOptimizer | None = None) -> None:
        """Load the saved states into modules and an optimizer of the same shapes; load nothing if one differs.

        Raises:
            CheckpointError: if a key is missing or left over, or a shape or dtype differs.
        """
        states = {name: self.state(name) for name in modules}
        if "moduli" in states:
            states["moduli"] = current_names(states["moduli"])
        for name, module in modules.items():
            _check_states(name, module.state_dict(), states[name])
        member_states = [] if optimizer is None else self._member_states(optimizer)
        for name, module in modules.items():
            module.load_state_dict(states[name])
        if optimizer is not None:
            optimizer.load_state_dict({"members": member_states})

    def _member_states(self, optimizer: JointOptimizer) -> list[dict[str, Any]]:
        try:
            saved = [[len(group["params"]) for group in member["param_groups"]] for member in self._members]
        except (KeyError, TypeError) as error:
            raise CheckpointError("checkpoint is corrupted: its optimizer names no parameters") from error
        own = [[len(group["params"]) for group in member.param_groups] for member in optimizer.members]
        if saved != own:
            raise CheckpointError(
                f"checkpoint is of another model: its optimizer trains {saved} parameters by member and group, "
                f"this one {own}"
            )
        try:
            return [
                complete_member(member, own, {key: self.state(f"optimizer/{index}/{key}") for key in member["numbers"]})
                for index, (member, own) in enumerate(zip(self._members, optimizer.members, strict=True))
            ]
        except DamagedFile as error:
            raise CheckpointError(f"checkpoint is corrupted: {error}") from error


def _check_states(name: str, own: Mapping[str, Tensor], saved: Mapping[str, Tensor]) -> None:
    if missing := sorted(set(own) - set(saved)):
        raise CheckpointError(f"checkpoint is of another model: its {name} lacks {missing}")
    if unexpected := sorted(set(saved) - set(own)):
        raise CheckpointError(f"checkpoint is of another model: its {name} also has {unexpected}")
    for key, value in own.items():
        if value.shape != saved[key].shape or value.dtype != saved[key].dtype:
            raise CheckpointError(
                f"checkpoint is of another model: {name}.{key} must be {tuple(value.shape)} {value.dtype}, "
                f"got {tuple(saved[key].shape)} {saved[key].dtype}"
            )
