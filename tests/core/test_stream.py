"""trainhub/core/stream.py: a stream's name is a plain text."""

import json

from trainhub.core.stream import Stream


def test_a_stream_is_a_text():
    """Names are keys of dictionaries, columns of tables and fields of messages."""
    assert json.dumps({Stream("room 1"): Stream("a")}) == '{"room 1": "a"}'
