"""Starts trainhub: `python run.py --help` lists what it can be asked for."""

import sys

from trainhub.server import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
