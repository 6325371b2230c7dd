"""``python -m inframind``: the command line."""

from inframind.plugin.cli import main

main()
