"""The entry: the command line. Imports as little as it can, so that a command answers at once."""

from __future__ import annotations

import sys


def main() -> int:
    """Run one command; the return value is the exit code."""
    try:
        from launcher.cli.main import main as run_command_line

        return run_command_line(sys.argv[1:])
    except KeyboardInterrupt:
        return 130


if __name__ == "__main__":
    sys.exit(main())
