"""The `caan` command: one module per subcommand."""

import signal
import sys
from importlib import import_module


def caan() -> None:
    """Entry point of the console script."""
    start("caan_hf.cli.main")


def start(module: str) -> None:
    """Import a module and call its `main`. An interrupt ends the process with one line, also during the imports.

    Args:
        module: A command line that is slow to import, by its full name.
    """
    try:
        import_module(module).main()
    except KeyboardInterrupt:
        print("stopped", file=sys.stderr)
        sys.exit(130)
    finally:
        signal.signal(signal.SIGINT, signal.SIG_DFL)  # an exception at interpreter exit would be printed
