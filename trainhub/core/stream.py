"""The name of a stream: one ordered history in the log, and the room of those who follow it."""

from typing import NewType

Stream = NewType("Stream", str)
NO_STREAM = Stream("")
