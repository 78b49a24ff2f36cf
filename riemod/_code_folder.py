"""A folder of compiled code in the user's cache. What lies in it is run, so nobody else may have been able to write it.

A file is named by the hash of its key, and by the hash of key and content: what is truncated, or was compiled for
another key, does not bear its own name, and is not run. A file of that name has that content, so processes may write
it at the same time.
"""

import hashlib
import logging
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from platformdirs import user_cache_path

from riemod._files import write_atomically
from riemod._untrusted import DamagedFile, read_bytes

__all__ = ["find_code", "own_folder", "store_code", "while_alone"]

_LARGEST = 1 << 26
_LOGGER = logging.getLogger(__name__)


def own_folder() -> Path:
    """Return the folder `riemod/kernels` of the user's cache, made if it is missing, that the user alone may enter.

    Raises:
        OSError: it cannot be made; or it is not the user's, others may read or write it, or others may write a folder
            above it, and so put another in its place.
    """
    folder = user_cache_path("riemod") / "kernels"
    folder.parent.mkdir(parents=True, exist_ok=True)
    with suppress(FileExistsError):
        folder.mkdir(mode=0o700)
    status = folder.lstat()
    if not stat.S_ISDIR(status.st_mode):
        raise OSError(f"{folder} must be a folder, got a file or a link")
    if status.st_uid != os.geteuid():
        raise OSError(f"{folder} must belong to the user {os.geteuid()}, got one of the user {status.st_uid}")
    if stat.S_IMODE(status.st_mode) & 0o077:
        raise OSError(f"{folder} must have the mode 700, got {stat.S_IMODE(status.st_mode):o}: remove it")
    for above in folder.resolve().parents:
        _check_above(above)
    return folder


def _check_above(folder: Path) -> None:
    """Raise an OSError if someone else than the user and root may rename what lies in a folder."""
    status = folder.stat()
    others_write = status.st_mode & 0o022 and not status.st_mode & stat.S_ISVTX
    if status.st_uid not in (0, os.geteuid()) or others_write:
        raise OSError(f"{folder} must belong to the user or root, and others must not write it")


def find_code(folder: Path, key: str) -> Path | None:
    """Return the file that was stored under a key; None if there is none, or one whose content is not as it was.

    Args:
        folder: from `own_folder`.
        key: all that the code depends on.
    """
    for path in sorted(folder.glob(f"{_hash(key)}-*.so")):
        try:
            if path.is_symlink():
                raise DamagedFile("it must be a regular file, got a link")
            if path != _named(folder, key, read_bytes(path, _LARGEST)):
                raise DamagedFile("it must have the content that its name says, got another")
        except (DamagedFile, OSError) as error:
            _LOGGER.warning("compiled anew: %s in %s: %s", path.name[:12], folder, error)
            with suppress(OSError):
                path.unlink()
        else:
            return path
    return None


def store_code(folder: Path, key: str, content: bytes) -> Path:
    """Write code under a key, and return its file.

    Raises:
        OSError: it cannot be written.
    """
    path = _named(folder, key, content)
    write_atomically(path, content)
    return path


@contextmanager
def while_alone(folder: Path, key: str) -> Iterator[None]:
    """Wait until no other process is inside with the same key; where files cannot be locked, go on at once."""
    # Not on every system.
    import fcntl

    descriptor = None
    with suppress(OSError):
        descriptor = os.open(folder / f"{_hash(key)}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
        fcntl.flock(descriptor, fcntl.LOCK_EX)
    try:
        yield
    finally:
        if descriptor is not None:
            os.close(descriptor)


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()[:32]


def _named(folder: Path, key: str, content: bytes) -> Path:
    digest = hashlib.sha256(len(key.encode()).to_bytes(8) + key.encode() + content).hexdigest()
    return folder / f"{_hash(key)}-{digest}.so"
