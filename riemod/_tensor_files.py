"""Reading of safetensors files that anyone may have changed, and a checksum inside such a file.

The checksum is the SHA-256 of the whole file with 64 zeros in its own place, so that it covers the header and every
tensor. It detects damage, and not an attacker, who can write another checksum: whatever is read is checked again.
"""

import hashlib
import re
import struct
from collections.abc import Mapping
from pathlib import Path

from safetensors import SafetensorError, safe_open
from safetensors.torch import save
from torch import Tensor

from riemod._machine import main_memory
from riemod._untrusted import DamagedFile, one_line, parse_json, regular_size

CHECKSUM = "sha256"
_EMPTY = "0" * 64
_LENGTH = struct.Struct("<Q")
_LONGEST_HEADER = 2**24
_CHUNK = 2**20
# What safetensors and torch raise for a file that they cannot read, by what is wrong with it.
_READ_ERRORS = (SafetensorError, RuntimeError, ValueError, LookupError, TypeError, AttributeError, OverflowError)


def to_sealed_bytes(tensors: dict[str, Tensor], metadata: Mapping[str, str]) -> bytes:
    """Return the bytes of a safetensors file that holds a checksum of itself among its metadata."""
    content = save(tensors, metadata={**metadata, CHECKSUM: _EMPTY})
    start = _place(content[: _header_end(content)], _EMPTY)
    digest = hashlib.sha256(content).hexdigest().encode()
    return b"".join((memoryview(content)[:start], digest, memoryview(content)[start + len(digest) :]))


def read_header(path: Path) -> tuple[bytes, dict[str, str]]:
    """Return the first bytes of a safetensors file up to the end of its header, and its metadata.

    Raises:
        DamagedFile: the file is larger than the memory of this machine, is cut off, or has no such header.
        OSError: the file cannot be read.
    """
    size = check_size(path)
    with path.open("rb") as file:
        start = file.read(_LENGTH.size)
        if len(start) < _LENGTH.size:
            raise DamagedFile(f"it must have at least {_LENGTH.size} bytes, got {len(start)}")
        (length,) = _LENGTH.unpack(start)
        most = min(size - len(start), _LONGEST_HEADER)
        if length > most:
            raise DamagedFile(f"its header must have at most {most:,} bytes, got {length:,}")
        header = file.read(length)
    content = parse_json(header)
    metadata = content.get("__metadata__", {}) if isinstance(content, dict) else None
    if not isinstance(metadata, dict) or not all(isinstance(value, str) for value in metadata.values()):
        raise DamagedFile("its header must be an object with metadata of text, got something else")
    return start + header, metadata


def check_size(path: Path) -> int:
    """Return the size in bytes of a regular file that fits the memory of this machine.

    Raises:
        DamagedFile: the file is larger, or no regular file.
        OSError: the file cannot be read.
    """
    size, memory = regular_size(path), main_memory()
    if memory is not None and size > memory:
        raise DamagedFile(f"it must fit the {memory:,} bytes of memory of this machine, got {size:,} bytes")
    return size


def check_seal(path: Path) -> None:
    """Check that a file is as `to_sealed_bytes` gave it, to the byte.

    Raises:
        DamagedFile: the checksum is missing, or is of other bytes.
        OSError: the file cannot be read.
    """
    header, metadata = read_header(path)
    digest = metadata.get(CHECKSUM, "")
    if not re.fullmatch("[0-9a-f]{64}", digest):
        raise DamagedFile("it must have a SHA-256 among its metadata, got none")
    start = _place(header, digest)
    found = hashlib.sha256(header[:start] + _EMPTY.encode() + header[start + len(digest) :])
    with path.open("rb") as file:
        file.seek(len(header))
        while chunk := file.read(_CHUNK):
            found.update(chunk)
    if found.hexdigest() != digest:
        raise DamagedFile("its bytes were changed: its SHA-256 is another one")


def read_tensors(path: Path) -> dict[str, Tensor]:
    """Return the tensors of a safetensors file by name.

    Raises:
        DamagedFile: the file is no such file, or holds what this version of torch cannot hold.
        OSError: the file cannot be read.
    """
    read_header(path)
    try:
        with safe_open(path, framework="pt") as file:
            return {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (no mapping)
    except _READ_ERRORS as error:
        raise DamagedFile(f"it must be a safetensors file: {one_line(error)}") from error


def _header_end(content: bytes) -> int:
    return _LENGTH.size + int(_LENGTH.unpack_from(content)[0])


def _place(header: bytes, digest: str) -> int:
    """Return where the digest stands in the header."""
    before = f'"{CHECKSUM}":"'.encode()
    whole = before + digest.encode() + b'"'
    if header.count(whole) != 1:
        raise DamagedFile("it must have its SHA-256 once in its header, got something else")
    return header.index(whole) + len(before)
