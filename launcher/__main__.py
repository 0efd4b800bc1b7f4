"""The entry: the command line. Imports as little as it can, so that a command answers at once."""

from __future__ import annotations

import gc
import sys


def main() -> int:
    """Run one command; the return value is the exit code."""
    # Of the CPU time of a short command, looking for garbage takes 5 % while it imports and 10 % when it ends. What
    # lasts longer turns the collector on (cli/run.py).
    gc.disable()
    try:
        from launcher.cli.main import main as run_command_line

        return run_command_line(sys.argv[1:])
    except KeyboardInterrupt:
        return 130
    finally:
        gc.freeze()


if __name__ == "__main__":
    sys.exit(main())
