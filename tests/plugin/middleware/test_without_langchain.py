"""Without LangChain everything else works, and the middleware says what to install."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
CODE = """
import sys
sys.modules['langchain'] = sys.modules['langchain_core.decisions'] = None
import importlib
import inframind.plugin.chat
from inframind import InfraMind
from inframind.errors import ConfigError
for module in ('middleware', 'decision_model'):
    try:
        importlib.import_module('inframind.plugin.' + module)
    except ConfigError as error:
        print(error)
"""


def test_what_needs_langchain_says_what_to_install_and_nothing_else_needs_it() -> None:
    done = subprocess.run(
        [sys.executable, "-c", CODE],
        capture_output=True,
        text=True,
        check=False,
        env={"PYTHONPATH": str(ROOT / "src"), "PATH": ""},
        timeout=120,
    )
    assert done.stderr == ""
    assert done.stdout.splitlines() == [
        "install = 'langchain': run: pip install 'inframind[langchain]'",
        "install = 'langchain-core': run: pip install 'langchain-core>=1.8'",
    ]
