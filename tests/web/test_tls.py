"""trainhub/web/tls.py: https and wss with a certificate and key, which may be renewed."""

import asyncio
import json
import shutil
import socket
import ssl
import warnings
from datetime import UTC, datetime, timedelta
from http.client import HTTPSConnection

import pytest
from certificates import trusting, write_pair
from waiting import PATIENCE, until, wait_for
from witness import connect as connect_socket

from trainhub.web.app import make_server
from trainhub.web.tls import BadCertificate, Certificate, make_context
from trainhub.web.websocket import TrainSocket, text_frame


@pytest.fixture
def pair(tmp_path):
    """The paths of a certificate and its key."""
    return write_pair(tmp_path)


@pytest.fixture
def http_server(io_loop, app, pair, _unused_port):
    server = make_server(app)
    server.ssl_options = make_context(*pair)
    server.add_socket(_unused_port[0])
    yield server
    server.stop()
    io_loop.run_sync(server.close_all_connections, timeout=PATIENCE)


def shake_hands(port, context):
    """Make a handshake; return the negotiated version."""
    with (
        socket.create_connection(("127.0.0.1", port), timeout=PATIENCE) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as wrapped,
    ):
        return wrapped.version()


def bent(pair, **fields):
    """Return a client's TLS context that accepts any cipher, with these fields set."""
    context = trusting(pair[0])
    context.set_ciphers(fields.pop("ciphers", "ALL:@SECLEVEL=0"))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # about old versions of TLS
        for name, value in fields.items():
            setattr(context, name, value)
    return context


# --- the files ----------------------------------------------------------------------------------


def test_a_pair_that_will_not_do_is_said_in_a_line(tmp_path, pair):
    """The line says which file is wrong, and why."""
    certificate, key = pair
    other = write_pair(tmp_path, "other")[1]
    locked = write_pair(tmp_path, "locked", b"secret")
    empty = tmp_path / "empty"
    empty.touch()
    for files, said in (
        ((tmp_path / "none", key), "none cannot be read (No such file"),
        ((certificate, tmp_path / "none"), "none cannot be read (No such file"),
        ((tmp_path, key), "cannot be read"),
        ((certificate, other), "are no certificate and its key"),
        ((key, certificate), "are no certificate and its key"),
        ((empty, key), "are no certificate and its key"),
        ((certificate, empty), "are no certificate and its key"),
        (locked, "has a passphrase"),
    ):
        with pytest.raises(BadCertificate) as raised:
            make_context(*files)
        assert said in str(raised.value)
        assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("days", "told"), [(15, False), (13, True), (0.01, True), (-1, True)], ids=str
)
def test_an_end_that_is_near_is_told(tmp_path, days, told):
    """In time to renew the certificate, and then until it was renewed."""
    certificate = Certificate(*write_pair(tmp_path, lasts=timedelta(days=days)))
    end = datetime.now(UTC) + timedelta(days=days)
    expected = f"the TLS certificate is good until {end:%Y-%m-%d}"
    assert [each.startswith(expected) for each in certificate.complaints()] == [True] * told
    write_pair(tmp_path, lasts=timedelta(days=90))
    assert certificate.renewed()
    assert certificate.complaints() == []


def test_files_that_change_are_taken_up(tmp_path, pair, caplog):
    """A new pair is used at once; a bad pair is logged once, and the old pair stays."""
    certificate = Certificate(*pair)
    first = certificate.context
    assert not certificate.renewed()
    other = write_pair(tmp_path, "other")
    shutil.copy(other[0], pair[0])
    assert [certificate.renewed() for _ in range(3)] == [False] * 3
    assert certificate.context is first
    assert [each.levelname for each in caplog.records] == ["WARNING"]
    shutil.copy(other[1], pair[1])
    assert [certificate.renewed() for _ in range(3)] == [True, False, False]
    assert certificate.context is not first
    pair[0].unlink()
    assert not certificate.renewed()


# --- on the wire --------------------------------------------------------------------------------


@pytest.mark.gen_test
@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
async def test_modern_versions(http_server, http_port, pair, version):
    """The hub speaks TLS 1.2 and 1.3."""
    context = bent(pair, minimum_version=version, maximum_version=version)
    agreed = await asyncio.to_thread(shake_hands, http_port, context)
    assert agreed == version.name.replace("_", ".")


@pytest.mark.gen_test
@pytest.mark.parametrize(
    "fields",
    [
        {"minimum_version": ssl.TLSVersion.TLSv1, "maximum_version": ssl.TLSVersion.TLSv1_1},
        {"ciphers": "AES128-SHA", "maximum_version": ssl.TLSVersion.TLSv1_2},
        {"ciphers": "AES256-GCM-SHA384", "maximum_version": ssl.TLSVersion.TLSv1_2},
        {"ciphers": "ECDHE-ECDSA-AES128-SHA", "maximum_version": ssl.TLSVersion.TLSv1_2},
        {"ciphers": "ECDHE-ECDSA-AES256-SHA384", "maximum_version": ssl.TLSVersion.TLSv1_2},
    ],
    ids=lambda fields: fields.get("ciphers", "TLS 1.1"),
)
async def test_old_versions_and_ciphers_are_refused(http_server, http_port, pair, fields):
    """The hub refuses versions and ciphers without forward secrecy or authenticated encryption."""
    with pytest.raises((ssl.SSLError, ConnectionError)):
        await asyncio.to_thread(shake_hands, http_port, bent(pair, **fields))
    await asyncio.to_thread(shake_hands, http_port, trusting(pair[0]))


@pytest.mark.gen_test
async def test_answers_say_that_it_stays_so(http_server, http_port, pair, send):
    """All answers have HSTS, also errors; a client without TLS gets no answer."""

    def ask(path):
        connection = HTTPSConnection("127.0.0.1", http_port, context=trusting(pair[0]))
        connection.request("GET", path)
        answer = connection.getresponse()
        connection.close()
        return answer.status, answer.headers["Strict-Transport-Security"]

    for path, status in (("/", 200), ("/nowhere", 404)):
        assert await asyncio.to_thread(ask, path) == (status, "max-age=31536000")
    assert b"HTTP/1.1" not in await send(b"GET / HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n")


@pytest.mark.gen_test
async def test_a_slow_reader_gets_all_in_its_order(raw, pair):
    """Waiting bytes are partly encrypted already: none are lost or sent twice."""
    client, head = await raw(tls=trusting(pair[0]))
    assert head.startswith("HTTP/1.1 101 ")
    await client.frames(1)  # WELCOME
    (handler,) = TrainSocket.sockets
    client.writer.transport.pause_reading()
    sent = 0
    while handler._backlog is None or sent % 100:
        size = (1, 900, 17_000, 40_000)[sent % 4]  # within a TLS record, and over several
        handler.send(text_frame(json.dumps({"number": sent, "text": "x" * size}).encode()))
        sent += 1
        if handler._backlog is not None and handler.unsent > 400_000:
            break
        await asyncio.sleep(0)
    waited = handler.unsent
    client.writer.transport.resume_reading()
    numbers = [json.loads(frame.data)["number"] for frame in await client.frames(sent)]
    assert numbers == list(range(sent))
    assert waited > 0
    await until(lambda: handler._backlog is None)
    client.say("PING")
    assert b"PONG" in (await client.frames(1))[0].data


@pytest.mark.gen_test
async def test_an_answer_larger_than_the_kernel_takes(raw, pair):
    """A write that blocks behind its first TLS record goes on where it stopped."""
    client, _ = await raw(tls=trusting(pair[0]))
    await client.frames(1)  # WELCOME
    (handler,) = TrainSocket.sockets
    client.writer.transport.pause_reading()
    large = {"text": "x" * 20_000_000}
    handler.send(text_frame(json.dumps(large).encode()))
    assert 0 < handler.unsent < 20_000_000
    client.writer.transport.resume_reading()
    (frame,) = await client.frames(1)
    assert json.loads(frame.data) == large
    await until(lambda: handler._backlog is None)


# --- a whole hub --------------------------------------------------------------------------------


@pytest.fixture
def start(start_hub, mongod_options):
    """Starts a hub with those options."""

    def started(*options, **others):
        return start_hub(*mongod_options, *options, **others)

    return started


def serial(hub, certificate):
    """Return the serial number of the hub's certificate, or None if the client rejects it."""
    with socket.create_connection(("127.0.0.1", hub.port), timeout=PATIENCE) as plain:
        try:
            with trusting(certificate).wrap_socket(plain, server_hostname="127.0.0.1") as wrapped:
                return wrapped.getpeercert()["serialNumber"]
        except ssl.SSLCertVerificationError:
            return None


def test_a_hub_over_tls(start, tmp_path, pair):
    """Both https and wss work, and open connections survive a renewed certificate."""
    hub = start("--tls-cert", str(pair[0]), "--tls-key", str(pair[1]))
    assert hub.url == f"https://127.0.0.1:{hub.port}"
    first = shutil.copy(pair[0], tmp_path / "first.crt")
    url = f"wss://127.0.0.1:{hub.port}/ws"
    with connect_socket(url, ssl=trusting(first)) as client:
        assert json.loads(client.recv(PATIENCE))["type"] == "WELCOME"
        before = serial(hub, first)
        pair[1].write_text("no key")
        wait_for(lambda: any("the certificate before the change" in each for each in hub.logged))
        assert serial(hub, first) == before
        second = write_pair(tmp_path)[0]
        wait_for(lambda: serial(hub, second))
        assert serial(hub, second) != before
        client.send('{"type": "PING"}')
        assert json.loads(client.recv(PATIENCE))["type"] == "PONG"
    assert hub.stop() == 0


@pytest.mark.parametrize("cert", ["hub.key", "nowhere.crt"])
def test_a_hub_does_not_start_on_a_bad_pair(start, tmp_path, pair, cert):
    """The hub prints one line with what to do, and has the exit code of a bad option."""
    files = ("--tls-cert", str(tmp_path / cert), "--tls-key", str(pair[1]))
    hub = start(*files, wait=False)
    assert not hub.listens()
    assert hub.wait() == 2
    assert "--tls-cert" in hub.logged[-1]
    assert not any("Traceback" in line for line in hub.logged)
