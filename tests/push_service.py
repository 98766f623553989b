"""A push service for tests: HTTPS that verifies the VAPID header and decrypts what it gets."""

import asyncio
import os
import ssl
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from concurrent.futures import Future
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass
from threading import Thread

import http_ece
import jwt
import ujson
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from tornado.httpserver import HTTPServer
from tornado.netutil import bind_sockets
from tornado.web import Application, RequestHandler


@dataclass(frozen=True)
class Subscription:
    """What a browser tells the hub."""

    endpoint: str
    p256dh: str
    auth: str


class PushService:
    """Its subscriptions, what they were sent, and how it answers from now on."""

    def __init__(self, name="localhost"):
        self.port = 0
        self.name = name
        self.keys = {}
        self.messages = []
        self.headers = []
        self.claims = []
        # By subscription: a status, headers of the answer.
        self.answers = {}
        # Once cleared, answers wait; `holds` are the subscriptions, None for all.
        self.hold = asyncio.Event()
        self.hold.set()
        self.holds = None
        self.at_once = self.most_at_once = 0

    @property
    def origin(self):
        return f"https://{self.name}:{self.port}"

    def subscribe(self, name):
        """Return a new subscription."""
        key, auth = ec.generate_private_key(ec.SECP256R1()), os.urandom(16)
        self.keys[name] = key, auth
        point = key.public_key().public_bytes(Encoding.X962, PublicFormat.UncompressedPoint)
        return Subscription(f"{self.origin}/push/{name}", _text(point), _text(auth))

    def take(self, name, request):
        """Verify and decrypt a message; return the status."""
        scheme, _, rest = request.headers["Authorization"].partition(" ")
        fields = dict(each.split("=", 1) for each in rest.split(","))
        point = urlsafe_b64decode(fields["k"] + "=" * (-len(fields["k"]) % 4))
        key = ec.EllipticCurvePublicKey.from_encoded_point(ec.SECP256R1(), point)
        claims = jwt.decode(fields["t"], key, algorithms=["ES256"], audience=self.origin)
        assert scheme == "vapid"
        assert 0 < claims["exp"] - time.time() <= 24 * 3600
        assert len(request.body) <= 4096
        assert request.headers["Content-Encoding"] == "aes128gcm"
        private, auth = self.keys[name]
        text = http_ece.decrypt(
            request.body, private_key=private, auth_secret=auth, version="aes128gcm"
        )
        self.claims.append(claims)
        self.headers.append(dict(request.headers.get_all()))
        self.messages.append((name, ujson.loads(text)))
        return 201


class _Push(RequestHandler):
    def initialize(self, service):
        self.service = service

    async def post(self, name):
        service = self.service
        service.at_once += 1
        service.most_at_once = max(service.most_at_once, service.at_once)
        try:
            if service.holds is None or name in service.holds:
                await service.hold.wait()
        finally:
            service.at_once -= 1
        status, headers = service.answers.get(name, (None, {}))
        for header, value in headers.items():
            self.set_header(header, value)
        self.set_status(status or service.take(name, self.request))


@asynccontextmanager
async def push_service(pair, name="localhost"):
    """A running service with a certificate: (certificate, key)."""
    service = PushService(name)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*pair)
    app = Application([(r"/push/(.*)", _Push, {"service": service})])
    server = HTTPServer(app, ssl_options=context)
    sockets = bind_sockets(0, "127.0.0.1")
    service.port = sockets[0].getsockname()[1]
    server.add_sockets(sockets)
    try:
        yield service
    finally:
        server.stop()
        await server.close_all_connections()


@contextmanager
def push_service_beside(pair):
    """A running service on a thread of its own, for tests without an event loop."""
    started = Future()

    async def run():
        ended = asyncio.Event()
        async with push_service(pair) as service:
            started.set_result((service, asyncio.get_running_loop(), ended))
            await ended.wait()

    thread = Thread(target=asyncio.run, args=(run(),))
    thread.start()
    service, loop, ended = started.result()
    try:
        yield service
    finally:
        loop.call_soon_threadsafe(ended.set)
        thread.join()


def _text(data):
    return urlsafe_b64encode(data).decode().rstrip("=")
