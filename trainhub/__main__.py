"""Start trainhub: what `trainhub`, `python -m trainhub` and `python run.py` all run."""

import os
import signal
import sys
from typing import NoReturn

# A signal that arrives during the slow imports below ends the process, as there is nothing to stop.
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
    signal.signal(each, lambda number, frame: os._exit(0))

from trainhub import server  # noqa: E402
from trainhub.process.diagnostics import fill_standard_files, leave  # noqa: E402


def main() -> NoReturn:
    """Run what the command line asks for, and end the process with its exit code."""
    fill_standard_files()
    leave(server.main(sys.argv[1:]))


if __name__ == "__main__":
    main()
