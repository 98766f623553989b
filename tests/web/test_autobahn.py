"""RFC 6455 and RFC 7692 by Autobahn's cases, against the hub's own sockets.

Both ways of sending pass them: through the ring, and socket by socket.
"""

import os

import kosoku
import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application

from trainhub.core.audience import Standing
from trainhub.core.deflate import Part, deflate
from trainhub.core.rooms import OneByOne
from trainhub.web.frames import BINARY, TEXT, message_frames
from trainhub.web.limits import Limits
from trainhub.web.ring import NoRing, Ring, RingDelivery
from trainhub.web.websocket import TrainSocket

COMPRESSION = ["12.*", "13.*"]
GROUPS = [f"12.{group}" for group in range(1, 6)] + [f"13.{group}" for group in range(1, 8)]
# From each group messages of 16 bytes, 1 KB and 16 KB, and the largest, whole and in fragments.
SAMPLE = [f"{group}.{case}" for group in GROUPS for case in (1, 4, 7)] + ["12.1.10", "13.7.18"]


class Echo(TrainSocket):
    """The hub's socket with an echo in place of the protocol. Each is in a room of its own."""

    most_message_bytes = 1 << 25

    def _greeting(self):
        return b""

    def _on_frame(self, size, whole):
        pass  # a case may have more fragments than a client of the hub may send

    async def on_message(self, message):
        opcode = TEXT if isinstance(message, str) else BINARY
        payload = message.encode() if isinstance(message, str) else message
        if self.window:
            payload = deflate([Part(payload)], self.window)
        rooms, room = self.web.hub.rooms, str(id(self))
        if not rooms.rooms_of(self):
            rooms.join(room, self, Standing())
        rooms.broadcast(room, message_frames(opcode, payload, deflated=bool(self.window)))
        rooms.flush()


@pytest.fixture(params=["ring", pytest.param("plain", marks=pytest.mark.soak)])
def delivery(request):
    """Return each way of sending. The ring gets every frame, although a room has one socket."""
    if request.param == "plain":
        yield OneByOne()
        return
    try:
        ring = Ring()
    except NoRing as error:
        pytest.skip(f"no io_uring: {error}")
    yield RingDelivery(ring, least=1)
    ring.close()


@pytest.fixture
def settings_of_web():
    return {"limits": Limits(max_unsent_bytes=1 << 30)}


@pytest.fixture
def app(site):
    return Application([(r"/", Echo, {"web": site.web})])


@pytest.fixture
def http_server(io_loop, app, _unused_port):
    server = HTTPServer(app)
    server.add_socket(_unused_port[0])
    yield server
    server.stop()


async def results_of(url, **chosen):
    """Return the results of cases that all pass, the late ones at their second try.

    The tester waits a second for the end of a connection, which a busy machine may need.
    """
    try:
        return await kosoku.run_fuzzingclient(url, **chosen)
    except kosoku.FailureError as failure:
        failed = [each for each in failure.results if not each.passed]
        if not all(each.was_server_connection_drop_timeout for each in failed):
            raise
        late = [each.case_id for each in failed]
        print(f"late, and tried again: {late}")
        await kosoku.run_fuzzingclient(url, cases=late)
        return failure.results


@pytest.mark.slow
@pytest.mark.gen_test(timeout=1_200)
async def test_no_case_of_autobahn_fails(http_server, http_port, no_trace):
    """All 301 cases of RFC 6455 pass: frames, closes, UTF-8, speed, sizes up to 16 MB."""
    url = f"ws://127.0.0.1:{http_port}/"
    assert len(await results_of(url, exclude_cases=COMPRESSION)) == 301


@pytest.mark.soak
@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its own files
@pytest.mark.gen_test(timeout=3_600)
async def test_no_case_of_compression_fails(http_server, http_port, no_trace):
    """The cases of SAMPLE pass, or with AUTOBAHN=all the 216 cases of every window and size."""
    cases = COMPRESSION if os.environ.get("AUTOBAHN") == "all" else SAMPLE
    url = f"ws://127.0.0.1:{http_port}/"
    found = await results_of(url, cases=cases)
    assert len(found) == (216 if cases is COMPRESSION else len(SAMPLE))
