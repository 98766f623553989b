"""RFC 6455 by Autobahn's cases, against the hub's own handler and protocol class."""

import kosoku
import pytest
from tornado.httpserver import HTTPServer
from tornado.web import Application

from trainhub.web.limits import Limits
from trainhub.web.websocket import TrainSocket, text_frame

# A compressor costs up to 316 KB a socket, and so the hub offers none.
COMPRESSION = ["12.*", "13.*"]


class Echo(TrainSocket):
    """The hub's socket with another conversation: it says nothing of its own, and echoes."""

    def _answer(self, message):
        pass

    def _on_frame(self, size, whole):
        pass  # a case may have more fragments than a client of the hub may send

    async def on_message(self, message):
        text = isinstance(message, str)
        frame = text_frame(message.encode() if text else message)
        self.send(frame if text else b"\x82" + frame[1:])


@pytest.fixture
def settings_of_web():
    return {"limits": Limits(max_unsent_bytes=1 << 30)}


@pytest.fixture
def app(site):
    routes = [(r"/", Echo, {"web": site.web})]
    return Application(routes, websocket_max_message_size=1 << 25)


@pytest.fixture
def http_server(io_loop, app, _unused_port):
    server = HTTPServer(app)
    server.add_socket(_unused_port[0])
    yield server
    server.stop()


@pytest.mark.gen_test(timeout=300)
async def test_no_case_of_autobahn_fails(http_server, http_port, no_trace):
    """All 301 that ask for nothing beyond the RFC: frames, closes, UTF-8, speed, sizes to 16 MB."""
    url = f"ws://127.0.0.1:{http_port}/"
    passed = await kosoku.run_fuzzingclient(url, exclude_cases=COMPRESSION)
    assert len(passed) == 301  # else there was a FailureError


@pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning")  # its own files
@pytest.mark.gen_test(timeout=300)
async def test_compression_is_not_offered(http_server, http_port, no_trace):
    """The 216 cases of compression find that it is missing, and none of them fails."""
    url = f"ws://127.0.0.1:{http_port}/"
    with pytest.raises(kosoku.FailureError) as raised:
        await kosoku.run_fuzzingclient(url, cases=COMPRESSION)
    found = [(str(each.behavior), str(each.behavior_close)) for each in raised.value.results]
    assert found == [("Behavior.UNIMPLEMENTED", "BehaviorClose.OK")] * 216
