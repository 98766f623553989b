"""trainhub/process/lines.py: a stream that never blocks or raises, even without a reader."""

import os
import threading
import time

import pytest
from waiting import PATIENCE

from trainhub.process.lines import LONGEST_LINE, MOST_WAITING_BYTES, STUCK_SECONDS, Lines

LINE = "x" * 99


def note(count):
    return f"{count} lines were dropped"


@pytest.fixture
def pipe():
    """A pipe's two ends. They stay open, as a stream's thread may write to the process's end."""
    return os.pipe()


def until_stuck(lines):
    """Wait until one write has lasted for a while: nothing more fits into the pipe."""
    deadline = time.monotonic() + PATIENCE
    while lines._stuck_since is None or time.monotonic() - lines._stuck_since < 0.3:
        assert time.monotonic() < deadline
        time.sleep(0.01)


def read_lines(end, count, seconds=PATIENCE):
    """Read until a number of lines came."""
    found, deadline = b"", time.monotonic() + seconds
    while found.count(b"\n") < count:
        assert time.monotonic() < deadline
        found += os.read(end, 1 << 16)
    return found.decode().splitlines()


def test_lines_come_out_in_order(pipe):
    """Also those that are written in parts, as `print` does it."""
    lines = Lines(pipe[1], "stdout")
    for n in range(100):
        print(n, file=lines)
    lines.write("no ")
    lines.write("end")
    assert lines.drain(10)
    assert read_lines(pipe[0], 100) == [str(n) for n in range(100)]
    lines.write(" yet\n")
    assert read_lines(pipe[0], 1) == ["no end yet"]


def test_a_reader_that_is_stuck_blocks_nobody(pipe):
    """What does not fit is dropped and counted; where it is missing a line says so."""
    lines = Lines(pipe[1], "stderr", note)
    for _ in range(1_000):
        lines.write(LINE + "\n")
    until_stuck(lines)
    start = time.monotonic()
    for _ in range(3 * MOST_WAITING_BYTES // 100 - 1_000):
        lines.write(LINE + "\n")
    assert time.monotonic() - start < PATIENCE
    assert not lines.drain(0.05)
    dropped = lines.dropped
    assert dropped > MOST_WAITING_BYTES // 100
    assert lines.complaints() == [
        f"stderr is not read: {dropped} lines were dropped since the start"
    ]
    reader = threading.Thread(
        target=read_lines, args=(pipe[0], 3 * MOST_WAITING_BYTES // 100 - dropped)
    )
    reader.start()
    assert lines.drain(30)
    reader.join(PATIENCE)
    print("it goes on", file=lines)
    assert read_lines(pipe[0], 2) == [f"{dropped} lines were dropped", "it goes on"]


def test_a_reader_that_does_not_read_is_complained_of(pipe, monkeypatch):
    """Before anything is dropped: the pipe is full, and a write is stuck."""
    lines = Lines(pipe[1], "stderr", note)
    for _ in range(1_000):
        lines.write(LINE + "\n")
    assert lines.complaints() == []
    until_stuck(lines)
    monkeypatch.setattr("trainhub.process.lines.STUCK_SECONDS", 0.01)
    time.sleep(0.05)
    assert lines.complaints() == ["stderr is not read: 0 lines were dropped since the start"]
    assert STUCK_SECONDS > 1


def test_a_reader_that_has_gone_is_no_error(pipe):
    """Nor is a disk that is full: the lines are dropped, and the writer hears nothing of it."""
    os.close(pipe[0])
    full = os.open("/dev/full", os.O_WRONLY)
    for end in (pipe[1], full):
        lines = Lines(end, "stderr", note)
        for _ in range(100):
            print(LINE, file=lines)
        assert lines.drain(10)
        assert lines.dropped == 100
        assert lines.complaints()
    os.close(full)


def test_a_pipe_that_others_made_non_blocking_loses_nothing(pipe):
    """A write that would block is waited for, in the thread."""
    os.set_blocking(pipe[1], False)
    lines = Lines(pipe[1], "stderr", note)
    for n in range(5_000):
        print(n, LINE, file=lines)
    assert len(read_lines(pipe[0], 5_000)) == 5_000
    assert lines.dropped == 0


def test_a_line_without_an_end_is_bounded(pipe):
    """It goes out in pieces."""
    lines = Lines(pipe[1], "stdout")
    for _ in range(3):
        lines.write("x" * (LONGEST_LINE // 2))
    found = read_lines(pipe[0], 1)
    assert len(found[0]) > LONGEST_LINE


def test_whatever_is_not_text_for_utf_8_comes_out(pipe):
    """Half of a surrogate pair in a message is shown, and raises nothing."""
    lines = Lines(pipe[1], "stdout")
    print("half \ud800", file=lines)
    assert read_lines(pipe[0], 1) == ["half \\ud800"]
