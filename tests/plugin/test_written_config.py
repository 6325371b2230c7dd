"""`inframind simulate --write-config` on a file that people have edited."""

from __future__ import annotations

import signal
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from inframind.errors import ConfigError
from inframind.plugin.commands.endpoint_tables import replace_endpoints
from inframind.plugin.commands.write_config import write_endpoints, write_example
from inframind.plugin.config import load_settings

NEW = [
    {"name": "new-0", "base_url": "http://127.0.0.1:1/v1", "model": "new", "capabilities": ["tools"]},
    {"name": "new-1", "base_url": "http://127.0.0.1:2/v1", "model": "new", "capabilities": ["tools"]},
]
EDITED = """\
# Ours.

# The servers.
[[endpoints]]
name = "old-0"  # to be replaced
base_url = "http://127.0.0.1:9/v1"
# its key is elsewhere

model = "old"

# the second one
[[endpoints]]
name = "old-1"
base_url = "http://127.0.0.1:8/v1"
model = "old"
# size_b = 3

# Who decides: learned since May.
[policy]
name = "learned"
exploration = 0.05  # agreed with Ann

[[rules]]  # accepted
name = "a"
avoid_strategies = ["Flash"]
"""
REPLACED = """\
# Ours.

# The servers.
[[endpoints]]
name = "new-0"
base_url = "http://127.0.0.1:1/v1"
model = "new"
capabilities = ["tools"]

[[endpoints]]
name = "new-1"
base_url = "http://127.0.0.1:2/v1"
model = "new"
capabilities = ["tools"]

# Who decides: learned since May.
[policy]
name = "learned"
exploration = 0.05  # agreed with Ann

[[rules]]  # accepted
name = "a"
avoid_strategies = ["Flash"]
"""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "inframind.toml"


def replaced(path: Path, text: str) -> str:
    """The file's text afterwards; the copy that is kept must be what it was."""
    path.write_bytes(text.encode())
    backup = replace_endpoints(path, NEW, at_s=0.0)
    assert backup is not None and backup.read_bytes() == text.encode()
    return path.read_bytes().decode()


def test_only_the_endpoints_are_replaced(path: Path) -> None:
    assert replaced(path, EDITED) == REPLACED


def test_line_ends_stay_as_they_are(path: Path) -> None:
    assert replaced(path, EDITED.replace("\n", "\r\n")) == REPLACED.replace("\n", "\r\n")


def test_a_file_that_has_these_endpoints_is_left_alone(path: Path) -> None:
    path.write_text(REPLACED)
    assert replace_endpoints(path, NEW, at_s=0.0) is None
    assert [file.name for file in path.parent.iterdir()] == [path.name]


def test_a_file_without_endpoints_gets_them_at_its_end(path: Path) -> None:
    assert replaced(path, "[policy]\nseed = 1\n").startswith("[policy]\nseed = 1\n\n[[endpoints]]\n")


def test_endpoints_in_one_line_are_replaced_too(path: Path) -> None:
    old = 'endpoints = [{name = "o", base_url = "http://a/v1", model = "o"}]  # ours\n[run]\nbudget_s = 9\n'
    assert tomllib.loads(replaced(path, old)) == {"endpoints": NEW, "run": {"budget_s": 9}}


def test_what_looks_like_a_table_within_a_text_is_no_table(path: Path) -> None:
    said = 'Answer.\n[[endpoints]]\nname = "x"\n'
    text = EDITED + f'\n[[strategies]]\nname = "S"\nmax_tokens = 9\ninstruction = """\n{said}"""\n'
    assert tomllib.loads(replaced(path, text))["strategies"][0]["instruction"] == said


@given(tail=st.sampled_from(["", "\n", "\n\n", "# end", "\n# end\n", "\n[run]\nbudget_s = 3", "[run]\n"]))
def test_whatever_follows_stays(tail: str, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("tail") / "inframind.toml"
    write_endpoints(path, [{**NEW[0], "name": "old"}])
    text = path.read_text() + tail
    rest = {name: value for name, value in tomllib.loads(text).items() if name != "endpoints"}
    assert tomllib.loads(replaced(path, text)) == {**rest, "endpoints": NEW}


def test_the_example_keeps_its_comments(path: Path) -> None:
    write_example(path, force=False)
    before = path.read_text()
    after = replaced(path, before)
    assert (
        after.partition("# What applies to a question")[2]
        == before.partition("# What applies to a question")[2]
    )
    assert [endpoint.name for endpoint in load_settings(path).endpoints] == ["new-0", "new-1"]


def test_what_is_no_toml_is_left_as_it_is(path: Path) -> None:
    path.write_text("[policy\n")
    with pytest.raises(ConfigError, match="mend or remove it"):
        replace_endpoints(path, NEW, at_s=0.0)
    assert path.read_text() == "[policy\n"


def test_simulate_says_what_it_did_to_a_file_that_was_there(path: Path) -> None:
    path.write_text(EDITED)
    command = [
        sys.executable, "-m", "inframind.plugin.cli", "simulate", "-m", "llama-3.2-3b",
        "--write-config", str(path), "--force",
    ]  # fmt: skip
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        said = ""
        while "serving" not in said and (line := process.stdout.readline()):
            said += line
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=10)
    (copy,) = path.parent.glob("inframind.toml.bak-*")
    assert "all else as it was" in said.replace("\n", " ") and copy.read_text() == EDITED
    settings = load_settings(path)
    assert [endpoint.model for endpoint in settings.endpoints] == ["llama-3.2-3b"]
    assert (settings.policy.name, [rule.name for rule in settings.rules]) == ("learned", ["a"])
