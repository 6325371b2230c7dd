"""``python -m inframind``: the command line."""

from inframind.plugin.cli import main

if __name__ == "__main__":
    main()
