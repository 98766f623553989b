"""Starts trainhub: `python run.py --help` lists what it can be asked for."""

import os
import signal
import sys

# Asked to stop while nothing has begun yet: what follows is slow to import.
for each in (signal.SIGINT, signal.SIGTERM, signal.SIGQUIT):
    signal.signal(each, lambda number, frame: os._exit(0))

from trainhub.process.diagnostics import fill_standard_files, leave  # noqa: E402
from trainhub.server import main  # noqa: E402

if __name__ == "__main__":
    fill_standard_files()
    leave(main(sys.argv[1:]))
