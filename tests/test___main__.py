"""trainhub/__main__.py: every way to start the hub runs the same program, under its own name.

tests/test_install.py starts the installed command, tests/test_signals.py sends signals meanwhile.
"""

import subprocess
import sys

import pytest
from hub_process import ROOT

from trainhub import __version__


@pytest.fixture(params=["python run.py", "python -m trainhub"])
def start(request):
    """Return a function that starts the hub in one way: it returns the way, exit code and text."""

    def run(*arguments):
        command = [sys.executable, *request.param.split()[1:], *arguments]
        done = subprocess.run(
            command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
        )
        return request.param, done.returncode, done.stdout

    return run


@pytest.mark.parametrize("order", [(), ("token",), ("check",), ("undelivered",)])
def test_help_names_the_command_that_was_used(start, order):
    """A reader can copy the first line of --help, also that of an operator's command."""
    command, code, said = start(*order, "--help")
    assert code == 0
    assert said.startswith(f"usage: {' '.join((command, *order))} [-h]")


def test_an_error_says_where_the_options_are_listed(start):
    """An error is one line, which names the command that was used, and exit code 2."""
    command, code, said = start("keys", "--old")
    expected = f"trainhub: unrecognized arguments: --old (see {command} keys --help)\n"
    assert (code, said) == (2, expected)


def test_the_version_is_printed(start):
    """--version prints the version, with exit code 0."""
    assert start("--version")[1:] == (0, f"trainhub {__version__}\n")
