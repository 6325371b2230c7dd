"""Replacing a file that people edit: all of it or nothing, with a copy of what it was beside it."""

from __future__ import annotations

import errno
import fcntl
import os
import stat
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from glob import escape
from io import FileIO
from itertools import count
from pathlib import Path

from inframind.errors import ConfigError


def require_editable(path: Path) -> None:
    """Refuse early what `swap` would refuse.

    Raises:
        ConfigError: there is no such file, or it is a link, no plain file, or read-only.
    """
    try:
        mode = path.lstat().st_mode
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}") from error
    if stat.S_ISLNK(mode):
        raise _refusal(path, f"it is a link: name the file itself, {path.resolve()}")
    if not stat.S_ISREG(mode):
        raise _refusal(path, "it is no plain file")
    if not mode & 0o222 or not os.access(path, os.W_OK):
        raise _refusal(path, "it is read-only: make it writable, or add the rules where it comes from")
    if not os.access(path.parent, os.W_OK):
        raise _refusal(path, "its folder is read-only: a copy of it could not be kept there")


def read_whole(path: Path) -> str:
    """The file's text, line ends as they are.

    Raises:
        ConfigError: it cannot be read, or is not UTF-8, or has a byte order mark, which TOML does not know.
    """
    try:
        text = path.read_bytes().decode()
    except OSError as error:
        raise _refusal(path, f"cannot be read: {error.strerror}") from error
    except UnicodeDecodeError as error:
        raise _refusal(path, f"cannot be read: save it as UTF-8: {error}") from error
    if text.startswith("\ufeff"):
        raise _refusal(path, "it begins with a byte order mark: save it as UTF-8 without one")
    return text


def swap(path: Path, before: str, after: str, *, at_s: float) -> Path:
    """Replace a file that is still what it was; others see the old one or the new one.

    Args:
        path: the file.
        before: its text.
        after: its new text.
        at_s: now, seconds since the Unix epoch; names the copy.

    Returns:
        The copy of what it was; never one that was there before.

    Raises:
        ConfigError: it cannot be written, or somebody changed it meanwhile. Nothing is changed then.
    """
    require_editable(path)
    content = before.encode()
    try:
        with _held(path) as file:
            _require_same(path, file, content)
            status = os.fstat(file.fileno())
            backup = _kept_beside(path, content, status, at_s)
            try:
                _replace(path, after.encode(), status, lambda: _require_same(path, file, content))
            except (OSError, ConfigError):
                backup.unlink()  # what it is a copy of is still there
                raise
    except OSError as error:
        raise _refusal(path, f"cannot be replaced: {_said(error)}") from error
    _sync_folder(path.parent)
    return backup


def copies_of(path: Path) -> list[Path]:
    """The copies that lie beside a file, the newest first."""
    return sorted(path.parent.glob(f"{escape(path.name)}.bak-*"), reverse=True)


@contextmanager
def _held(path: Path) -> Iterator[FileIO]:
    """The file, while no other process swaps it. Editors know nothing of that: see `_require_same`."""
    with path.open("r+b", buffering=0) as file:  # NFS gives a lock to those who may write
        fcntl.flock(file, fcntl.LOCK_EX)
        yield file


def _require_same(path: Path, file: FileIO, content: bytes) -> None:
    """Refuse what was replaced or written to since it was read."""
    file.seek(0)
    if not os.path.samestat(os.fstat(file.fileno()), path.stat()) or file.readall() != content:
        raise _refusal(path, "it was changed meanwhile: look at the change again")


def _kept_beside(path: Path, content: bytes, status: os.stat_result, at_s: float) -> Path:
    stamp = datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    for number in count(1):
        backup = path.with_name(f"{path.name}.bak-{stamp}{f'-{number}' if number > 1 else ''}")
        with suppress(FileExistsError):
            _fill(os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), backup, content, status)
            break
    return backup


def _replace(path: Path, content: bytes, status: os.stat_result, require_same: Callable[[], None]) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    new = Path(name)
    _fill(descriptor, new, content, status)
    try:
        require_same()  # writing for good takes milliseconds, in which a person may have saved the file
        new.replace(path)
    except BaseException:
        new.unlink(missing_ok=True)
        raise


def _fill(descriptor: int, path: Path, content: bytes, status: os.stat_result) -> None:
    """Write a new file for good, or leave none; with the original's owner and permissions as far as one may."""
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            with suppress(PermissionError):
                os.fchown(descriptor, status.st_uid, status.st_gid)
            os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
            file.flush()
            os.fsync(descriptor)
    except BaseException:
        path.unlink(missing_ok=True)
        raise


def _sync_folder(folder: Path) -> None:
    """Make it last. Where a file system cannot, a power cut may bring back what was, whole: no failure now."""
    with suppress(OSError):
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


def _said(error: OSError) -> str:
    if error.errno == errno.EBUSY:
        return f"{error.strerror}: where it is mounted by itself, mount its folder instead"
    return str(error.strerror)


def _refusal(path: Path, fix: str) -> ConfigError:
    return ConfigError("config", str(path), fix)
