"""Writing of files, each either whole or not at all, and kept through a loss of power."""

import errno
import json
import os
from contextlib import suppress
from pathlib import Path
from typing import Any

_PARTIAL = ".partial"
# What a file system says that cannot sync a folder, as some network file systems and FUSE cannot.
_CANNOT_SYNC = frozenset({errno.EINVAL, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOSYS, errno.EBADF, errno.EACCES})


def is_partial(path: Path) -> bool:
    """Return whether a file is what an interrupted atomic write left behind."""
    return path.name.endswith(_PARTIAL)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file that after a crash holds either the old content or the new, never a part of it.

    The file and its folder are synced, so that the new content also outlives a loss of power.

    Raises:
        OSError: if the disk is full, for example; it names the file, which keeps the old content.
    """
    temporary = path.with_name(f".{path.name}{_PARTIAL}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        temporary.replace(path)
    except OSError as error:
        # On a full disk, the part would take the space that is missing.
        with suppress(OSError):
            os.unlink(temporary)
        raise _naming(path, error) from error
    sync_folder(path.parent)


def write_json(path: Path, value: Any) -> None:
    """Write JSON atomically, indented, with a closing newline."""
    write_atomically(path, (json.dumps(value, indent=2, allow_nan=False) + "\n").encode())


def append_line(path: Path, line: str) -> None:
    """Append a line to a file and sync the file; a crash may leave a part of the line, but no earlier line changes.

    Raises:
        OSError: if the disk is full, for example; it names the file.
    """
    try:
        with path.open("a") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise _naming(path, error) from error


def make_folder(path: Path) -> None:
    """Make a folder and its parents where they are missing, and sync the parent."""
    if not path.is_dir():
        path.mkdir(parents=True, exist_ok=True)
        sync_folder(path.parent)


def sync_folder(path: Path) -> None:
    """Write a folder's entries to the disk, where the system lets one open and sync folders; Windows does not."""
    try:
        descriptor = os.open(path, os.O_RDONLY)
    except OSError:
        return
    try:
        os.fsync(descriptor)
    except OSError as error:
        if error.errno not in _CANNOT_SYNC:
            raise _naming(path, error) from error
    finally:
        os.close(descriptor)


def _naming(path: Path, error: OSError) -> OSError:
    """Return an error like the given one that names the file."""
    return error if error.errno is None else OSError(error.errno, error.strerror, str(path))
