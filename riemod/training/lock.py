"""The lock on a run's folder: one process writes a run, and a second one is refused with the first one's name.

Who trains a run holds its `lock.json`, which names the process, its host, when the process began and since when it
holds the lock. Whoever only reads a run needs no lock. The lock goes with its process: a child process that trains a
run keeps it when its parent is killed. A lock whose process is gone is taken over, with a note in the log.

The file is made by one process alone (`O_EXCL`), and the operating system locks it (`flock`), which a crash undoes.

- **On a local disk** that is enough, whatever is killed when.
- **On NFS**, Linux passes `flock` on to the server, so it holds between hosts too. Where it does not (mounted with
  `local_lock` or `nolock`; Lustre with `localflock`), `lock.json` alone tells hosts apart. Two processes of different
  hosts that begin within the same second, before the server shows each the other's file, can then both get the lock.
- **Where there is no `flock`** (Windows, Lustre without it, some FUSE systems), `lock.json` alone decides. Two
  processes that take over the same stale lock in the same millisecond can then both get it. Windows does not say
  whether a process lives: remove `lock.json` by hand after a crash.
- **A lock of another host** is never taken over, for whether that process lives cannot be seen from here. After a crash
  there, go on on that host, or remove `lock.json`. A container with a new name counts as another host.
- Hosts that share a folder must have different names.
"""

import errno
import json
import logging
import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import NamedTuple, Self

from riemod.training.errors import RunError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

LOCK = "lock.json"
_LOGGER = logging.getLogger(__name__)
_LARGEST = 4096
# How long a process that made the file may take to write its name into it.
_PATIENCE = 0.5


class Owner(NamedTuple):
    """Names a process that holds a lock."""

    host: str
    pid: int
    began: str | None
    """What tells the process from a later one of the same number; None where the system does not say."""
    since: str
    """Since when it holds the lock, in ISO 8601."""

    @classmethod
    def here(cls) -> Self:
        """Return the name of this process, as of now."""
        now = datetime.now().astimezone().isoformat(timespec="seconds")
        return cls(socket.gethostname(), os.getpid(), process_began(os.getpid()), now)

    def __str__(self) -> str:
        return f"process {self.pid} on host {self.host!r}, since {self.since!r}"


def read_owner(path: Path) -> Owner | None:
    """Return the owner that a lock file names; None if it names none."""
    try:
        with path.open("rb") as file:
            values = json.loads(file.read(_LARGEST))
        owner = Owner(values["host"], values["pid"], values["began"], values["since"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return None
    texts = isinstance(owner.host, str) and isinstance(owner.since, str) and isinstance(owner.began, str | None)
    return owner if texts and type(owner.pid) is int and 0 < owner.pid < 2**31 else None


@dataclass
class _Held:
    descriptor: int | None
    process: int
    thread: int
    depth: int = 1


_held: dict[Path, _Held] = {}
_guard = threading.Lock()


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the lock on a run's folder inside the context; the same thread may hold it several times over.

    Args:
        folder: must exist.

    Raises:
        RunError: if another process or another thread holds it; the message names the process, its host and the time.
        OSError: if the lock cannot be written there.
    """
    key = folder.resolve()
    with _guard:
        held = _held.get(key)
        if held is None or held.process != os.getpid():  # A forked child does not own what its parent holds.
            _held[key] = _Held(_acquire(key), os.getpid(), threading.get_ident())
        elif held.thread == threading.get_ident():
            held.depth += 1
        else:
            raise RunError(f"run must have one writer, got a second thread of process {os.getpid()} for {folder}")
    try:
        yield
    finally:
        with _guard:
            held = _held[key]
            held.depth -= 1
            if held.depth == 0 and held.process == os.getpid():
                del _held[key]
                _release(key / LOCK, held.descriptor)


def process_began(pid: int) -> str | None:
    """Return the boot of the system and when a living process began in it; None for a dead one, or off Linux."""
    try:
        # The name of the program, in parentheses, may hold spaces and parentheses itself.
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    except (OSError, ValueError):
        return None
    return None if fields[0] in "ZXx" else f"{boot} {fields[19]}"


def _acquire(folder: Path) -> int | None:
    """Return the descriptor that keeps the lock of the operating system; None where there is no such lock."""
    path, own = folder / LOCK, Owner.here()
    while True:
        descriptor, is_new = _open(path)
        try:
            locked = _flock(descriptor)
            if locked is False:
                raise _refusal(folder, _wait_for_owner(path), sure=True)
            is_mine = _is_same_file(descriptor, path) and (is_new or _take_over(folder, own, locked is True))
        except BaseException:
            os.close(descriptor)
            raise
        if not is_mine:
            os.close(descriptor)
            continue
        try:
            os.ftruncate(descriptor, 0)
            os.write(descriptor, (json.dumps(own._asdict()) + "\n").encode())
            os.fsync(descriptor)
        except BaseException:
            _release(path, descriptor)
            raise
        if locked:
            return descriptor
        os.close(descriptor)
        return None


def _take_over(folder: Path, own: Owner, locked: bool) -> bool:
    """Return whether the stale lock file that is there now belongs to this process; False if it was removed instead.

    Args:
        folder: of the run.
        own: this process.
        locked: whether the operating system gave this process the lock, so that no process of this host has it.

    Raises:
        RunError: if the owner lives, or may live.
    """
    path = folder / LOCK
    owner = _wait_for_owner(path)
    if owner is None and not locked:
        raise _refusal(folder, None, sure=False)
    if owner is not None:
        if owner.host != own.host:
            raise _refusal(folder, owner, sure=False)
        if (owner.pid, owner.began) != (own.pid, own.began) and _lives(owner, locked):
            raise _refusal(folder, owner, sure=os.name != "nt")
        _LOGGER.warning("took over the lock on %s from %s: it is gone", folder, owner)
    if locked:
        return True
    # Only one of several processes can rename the file, and only one can make it again.
    stale = path.with_name(f".{LOCK}.{own.pid}.partial")
    with suppress(FileNotFoundError):
        os.replace(path, stale)
        os.unlink(stale)
    return False


def _release(path: Path, descriptor: int | None) -> None:
    # Removed before it is unlocked: a process that waits for this file then finds that it is gone.
    with suppress(OSError):
        os.unlink(path)
    if descriptor is not None:
        os.close(descriptor)


def _open(path: Path) -> tuple[int, bool]:
    """Open a lock file; return its descriptor, and whether this call made the file."""
    while True:
        with suppress(FileExistsError):
            return os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o644), True
        with suppress(FileNotFoundError):
            return os.open(path, os.O_RDWR), False


def _flock(descriptor: int) -> bool | None:
    """Return whether the operating system gave this process the lock; None if it has no such locks here."""
    if fcntl is None:
        return None
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        return False if error.errno in (errno.EWOULDBLOCK, errno.EAGAIN, errno.EACCES) else None
    return True


def _is_same_file(descriptor: int, path: Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), os.stat(path))
    except FileNotFoundError:
        return False


def _wait_for_owner(path: Path) -> Owner | None:
    """Return the owner that a lock file names, and give the process that made the file time to write it."""
    end = time.monotonic() + _PATIENCE
    while (owner := read_owner(path)) is None and time.monotonic() < end:
        time.sleep(0.01)
    return owner


def _lives(owner: Owner, locked: bool) -> bool:
    """Return whether a process of this host lives, as far as can be known."""
    began = process_began(owner.pid)
    if owner.began is not None:
        return began == owner.began
    if locked or os.name == "nt":  # Windows cannot ask without sending a signal.
        return not locked
    try:
        os.kill(owner.pid, 0)
    except ProcessLookupError:
        return False
    except OSError:
        pass
    return True


def _refusal(folder: Path, owner: Owner | None, *, sure: bool) -> RunError:
    name = "another process" if owner is None else str(owner)
    text = f"run must have one writer, got a second one for {folder}: it is trained by {name}"
    return RunError(text if sure else f"{text}; if that process is gone, remove {folder / LOCK}")
