"""Replacing a file that people edit: whatever goes wrong, and whoever saves it meanwhile, nothing is lost."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from inframind.errors import ConfigError
from inframind.plugin.advice.file_swap import swap
from inframind.plugin.advice.toml_edit import without_rules

AT_S = 1_700_000_000.0


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "inframind.toml"


def test_a_copy_of_what_there_was_is_kept_with_its_permissions_and_never_overwritten(file: Path) -> None:
    file.write_text("one")
    file.chmod(0o640)
    first = swap(file, "one", "two", at_s=AT_S)
    second = swap(file, "two", "three", at_s=AT_S)
    assert (first.name, first.read_text()) == ("inframind.toml.bak-20231114T221320Z", "one")
    assert (second.name, second.read_text()) == ("inframind.toml.bak-20231114T221320Z-2", "two")
    assert {stat.S_IMODE(path.stat().st_mode) for path in (file, first, second)} == {0o640}
    assert file.read_text() == "three"
    assert len(list(file.parent.iterdir())) == 3


def test_what_was_changed_meanwhile_is_not_lost(file: Path) -> None:
    file.write_text("another hand's")
    with pytest.raises(ConfigError, match="changed meanwhile"):
        swap(file, "one", "two", at_s=AT_S)
    assert file.read_text() == "another hand's"
    assert list(file.parent.iterdir()) == [file]


def test_a_link_a_read_only_file_and_no_file_are_refused(file: Path, tmp_path: Path) -> None:
    real = tmp_path / "real.toml"
    real.write_text("one")
    file.symlink_to(real)
    with pytest.raises(ConfigError, match=r"it is a link.*real\.toml"):
        swap(file, "one", "two", at_s=AT_S)
    real.chmod(0o444)
    with pytest.raises(ConfigError, match="read-only"):
        without_rules(real, advice="a" * 32)
    real.chmod(0o644)
    file.unlink()
    with pytest.raises(ConfigError, match="cannot be read"):
        without_rules(file, advice="a" * 32)
    assert real.read_text() == "one"


# Meanwhile -------------------------------------------------------------------------------------------------


def _in_place(file: Path) -> None:
    file.write_text("another hand's")


def _by_another_file(file: Path) -> None:
    other = file.with_name("other")
    other.write_text("another hand's")
    other.replace(file)


@pytest.mark.parametrize("save", [_in_place, _by_another_file])
@pytest.mark.parametrize("after", [1, 2])
def test_what_is_saved_while_the_new_file_is_written_is_not_lost(
    file: Path, monkeypatch: pytest.MonkeyPatch, save: Callable[[Path], None], after: int
) -> None:
    file.write_text("one")
    fsync, calls = os.fsync, []

    def slow(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == after:
            save(file)
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", slow)
    with pytest.raises(ConfigError, match="changed meanwhile"):
        swap(file, "one", "two", at_s=AT_S)
    assert file.read_text() == "another hand's"
    assert list(file.parent.iterdir()) == [file]


def test_of_many_at_once_one_replaces_it_and_the_others_are_told(file: Path) -> None:
    file.write_text("one")

    def try_it(name: str) -> str:
        try:
            swap(file, "one", name, at_s=AT_S)
        except ConfigError as error:
            return error.fix
        return name

    names = [f"by {number}" for number in range(8)]
    with ThreadPoolExecutor(8) as pool:
        told = list(pool.map(try_it, names))
    (winner,) = {*told} & {*names}
    assert file.read_text() == winner
    assert all("changed meanwhile" in one for one in told if one != winner)
    (copy,) = (path for path in file.parent.iterdir() if path != file)
    assert copy.read_text() == "one"


# What disks do ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("after", [1, 2])
def test_a_full_disk_leaves_the_file_and_no_half_of_another(
    file: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    file.write_text("one")
    calls = []

    def full(descriptor: int) -> None:
        calls.append(descriptor)
        if len(calls) == after:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(ConfigError, match="No space left"):
        swap(file, "one", "two", at_s=AT_S)
    assert (file.read_text(), list(file.parent.iterdir())) == ("one", [file])


def test_a_file_that_is_mounted_by_itself_is_left_as_it_is_and_the_folder_is_asked_for(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("one")

    def busy(source: object, target: object) -> None:
        raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))

    monkeypatch.setattr(os, "replace", busy)
    with pytest.raises(ConfigError, match="mount its folder instead"):
        swap(file, "one", "two", at_s=AT_S)
    assert (file.read_text(), list(file.parent.iterdir())) == ("one", [file])


def test_a_file_system_that_cannot_sync_folders_is_no_failure(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    file.write_text("one")
    fsync = os.fsync

    def files_alone(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(errno.EINVAL, os.strerror(errno.EINVAL))
        fsync(descriptor)

    monkeypatch.setattr(os, "fsync", files_alone)
    assert swap(file, "one", "two", at_s=AT_S).read_text() == "one"
    assert file.read_text() == "two"
