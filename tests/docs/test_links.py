"""Every relative link in the documentation leads to a file, and every `make` target that it names exists."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
PAGES = sorted([ROOT / "README.md", ROOT / "CHANGELOG.md", *(ROOT / "docs").glob("*.md")])
TARGETS = set(re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), re.M))
WANTED_TARGETS = {"setup", "demo", "test", "test-vllm", "check", "bench", "help"}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_relative_links_lead_somewhere(page: Path) -> None:
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)]*)?\)", page.read_text(encoding="utf-8"))
    files = [link for link in links if "://" not in link and not link.startswith("mailto:")]
    assert [link for link in files if not (page.parent / link).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_paths_in_code_spans_exist(page: Path) -> None:
    spans = re.findall(r"`([^`\s]+)`", page.read_text(encoding="utf-8"))
    rooms = "|".join(path.parent.name for path in ROOT.glob("*/__init__.py"))
    paths = [span for span in spans if re.fullmatch(rf"(?:{rooms}|docs|tests|benchmarks)/[\w/.-]+", span)]
    assert [path for path in paths if not (ROOT / path).exists()] == []


def test_the_targets_that_are_promised_are_there_and_explained() -> None:
    help_text = subprocess.run(["make", "-s", "-C", str(ROOT), "help"], capture_output=True, text=True).stdout
    assert WANTED_TARGETS <= TARGETS
    assert set(re.findall(r"make ([a-z-]+)", help_text)) >= WANTED_TARGETS


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_targets_that_are_mentioned_exist(page: Path) -> None:
    named = set(re.findall(r"[`$ ]make ([a-z][a-z-]+)[` \n]", page.read_text(encoding="utf-8")))
    spoken = {"sure", "a", "an", "the", "it", "them", "up", "no", "any", "sense"}
    assert named - spoken <= TARGETS
