"""trainhub/web/tornado_insides.py: tornado still is as that file expects it.

If a test here fails after a new tornado, read tornado's change before anything else: that file is
the only place to mend.
"""

import asyncio
import importlib
import pkgutil
import re
import socket
from typing import ClassVar

import pytest
from tornado.iostream import IOStream
from tornado.web import Application
from waiting import until

import trainhub.web
from trainhub.web.tornado_insides import WholeRequest, take_socket


class Writes(WholeRequest):
    """Notes what it is about to write, and when its work began and ended."""

    noted: ClassVar[list[object]] = []

    async def carry_out(self, work):
        self.noted.append("begins")
        await work
        self.noted.append("ends")

    def prepare(self):
        self.noted.append("prepares")

    def get(self):
        self.noted.append(self.unflushed())
        self.write(b"abc")
        self.write("de")
        self.noted.append(self.unflushed())


@pytest.fixture
def app():
    return Application([("/", Writes)])


@pytest.mark.gen_test
async def test_all_work_of_a_request_is_between_two_hooks(http_server, http_client, base_url):
    """Also `prepare`; and a handler knows how many bytes of its body wait."""
    assert (await http_client.fetch(base_url + "/")).body == b"abcde"
    await until(lambda: Writes.noted[-1] == "ends")
    assert Writes.noted == ["begins", "prepares", 0, 5, "ends"]


def test_no_other_file_uses_private_names_of_tornado():
    """No other class has a private name of a class of tornado that it extends."""
    for module in pkgutil.iter_modules(trainhub.web.__path__):
        found = importlib.import_module(f"trainhub.web.{module.name}")
        for kind in vars(found).values():
            if not isinstance(kind, type) or kind.__module__ != found.__name__:
                continue
            theirs = {
                name
                for base in kind.__mro__[1:]
                for name in vars(base)
                if base.__module__.startswith("tornado.") and re.match("_[a-z]", name)
            }
            theirs.discard("_stream_request_body")  # tornado's own decorator sets it
            used = theirs & vars(kind).keys()
            assert not used or module.name == "tornado_insides", (kind, used)


@pytest.mark.gen_test
async def test_a_socket_is_taken_with_what_came_early():
    """All bytes that the stream has read and not given out are returned, and no byte is lost."""
    ours, theirs = socket.socketpair()
    stream = IOStream(ours)
    theirs.sendall(b"request|early")
    assert await stream.read_until(b"|") == b"request|"
    taken, early = take_socket(stream)
    assert (taken, early) == (ours, b"early")
    loop = asyncio.get_running_loop()
    theirs.sendall(b"late")
    assert await loop.sock_recv(taken, 100) == b"late"  # tornado has left its descriptor
    await loop.sock_sendall(taken, b"answer")
    assert theirs.recv(100) == b"answer"
    taken.close()
    theirs.close()
