"""Replacing a file that people edit: all of it or nothing, with a copy of what it was beside it."""

from __future__ import annotations

import fcntl
import os
import stat
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from glob import escape
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
        ConfigError: it cannot be read.
    """
    try:
        return path.read_bytes().decode()
    except (OSError, UnicodeDecodeError) as error:
        raise _refusal(path, f"cannot be read: {error}") from error


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
    try:
        with _held(path) as (content, status):
            if content != before.encode():
                raise _refusal(path, "it was changed meanwhile: look at the change again")
            backup = _kept_beside(path, content, status, at_s)
            _replace(path, after.encode(), status)
            return backup
    except OSError as error:
        raise _refusal(path, f"cannot be replaced: {error.strerror}") from error


def copies_of(path: Path) -> list[Path]:
    """The copies that lie beside a file, the newest first."""
    return sorted(path.parent.glob(f"{escape(path.name)}.bak-*"), reverse=True)


@contextmanager
def _held(path: Path) -> Iterator[tuple[bytes, os.stat_result]]:
    """What the file holds, while no other process swaps it."""
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        status = os.fstat(file.fileno())
        is_same = os.path.samestat(status, path.stat())
        if not is_same:  # it was replaced while we waited: what we hold is what it was
            raise _refusal(path, "it was changed meanwhile: look at the change again")
        yield file.read(), status


def _kept_beside(path: Path, content: bytes, status: os.stat_result, at_s: float) -> Path:
    stamp = datetime.fromtimestamp(at_s, UTC).strftime("%Y%m%dT%H%M%SZ")
    number = 1
    while True:
        backup = path.with_name(f"{path.name}.bak-{stamp}{f'-{number}' if number > 1 else ''}")
        try:
            descriptor = os.open(backup, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        except FileExistsError:
            number += 1
            continue
        _fill(descriptor, content, status)
        return backup


def _replace(path: Path, content: bytes, status: os.stat_result) -> None:
    descriptor, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        _fill(descriptor, content, status)
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    _sync_folder(path.parent)


def _fill(descriptor: int, content: bytes, status: os.stat_result) -> None:
    """Write it for good, with the owner and the permissions of the original, as far as one may."""
    with os.fdopen(descriptor, "wb") as file:
        file.write(content)
        with suppress(PermissionError):
            os.fchown(descriptor, status.st_uid, status.st_gid)
        os.fchmod(descriptor, stat.S_IMODE(status.st_mode))
        file.flush()
        os.fsync(descriptor)


def _sync_folder(folder: Path) -> None:
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def _refusal(path: Path, fix: str) -> ConfigError:
    return ConfigError("config", str(path), fix)
