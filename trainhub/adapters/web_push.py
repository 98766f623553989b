"""Web push: encrypted messages (RFC 8291) to the devices of a person, over their push services."""

import asyncio
import hashlib
import ipaddress
import logging
import os
import socket
import ssl
import time
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import defaultdict
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any, Protocol
from urllib.parse import urlsplit

import http_ece
import ujson
from cryptography.hazmat.primitives.asymmetric import ec
from py_vapid import Vapid02
from tornado.httpclient import AsyncHTTPClient, HTTPRequest, HTTPResponse

from trainhub.core.notifications import Notification, TryLater, Undeliverable
from trainhub.core.push_hosts import PushHosts

logger = logging.getLogger("trainhub.web_push")

# Notifications that are with the push services at once, and requests to one service and to all.
AT_ONCE = 20
REQUESTS_A_HOST = 20
REQUESTS = 100
# Less than the time of a whole notification: the devices that answer count then.
TIMEOUT_SECONDS = 8.0
# Bytes of an encrypted message that every push service takes (RFC 8030, 7.2), and what the
# encryption adds: header 86, tag 16, delimiter 1.
MESSAGE_BYTES = 4096
OVERHEAD_BYTES = 103
# Bytes of an answer that are read.
ANSWER_BYTES = 64 << 10
TOPIC_LENGTH = 32
# Seconds for which a push service may keep a message.
LONGEST_TTL = 28 * 24 * 3600
# Seconds until the next try, and the most that a push service may ask for.
LATER_SECONDS = 30.0
LATEST_SECONDS = 3600.0
# Seconds for which a signed header is good (24 hours at most, RFC 8292), and from when on a new
# one is signed.
HEADER_SECONDS = 12 * 3600
HEADER_REST_SECONDS = 3600
# Origins whose header is kept.
MOST_HEADERS = 1_000
# Notifications that are tried again. Older ones go to all devices of the person again.
MOST_PARTLY = 10_000
NAT64 = ipaddress.ip_network("64:ff9b::/96")
# All public IPv6 addresses (RFC 4291). Outside are older forms, some with an IPv4 address in them.
GLOBAL_UNICAST = ipaddress.ip_network("2000::/3")


class Device(Protocol):
    """A browser's subscription: where it is reached, and its keys in base64url."""

    @property
    def endpoint(self) -> str: ...
    @property
    def p256dh(self) -> str: ...
    @property
    def auth(self) -> str: ...


class Devices(Protocol):
    """The part of the port Contacts that this file needs."""

    def devices(self, user: str) -> Sequence[Device]: ...

    async def remove_device(self, user: str, endpoint: str) -> object: ...


class PushFailed(Exception):
    """A push service could not be used; the message says why, without the endpoint's secret."""


class AddressRefused(Exception):
    """The host of an endpoint has an address that the hub does not connect to."""


class GuardedResolver:
    """Resolves the hosts of endpoints for Tornado's client, which connects to what this returns.

    There is one look-up for a connection, so a name cannot change between check and connection.
    """

    def __init__(self, hosts: PushHosts) -> None:
        self._hosts = hosts

    async def resolve(
        self, host: str, port: int, family: socket.AddressFamily = socket.AF_UNSPEC
    ) -> list[tuple[int, Any]]:
        """Return the addresses. Raises AddressRefused if any of them is not public."""
        loop = asyncio.get_running_loop()
        found = await loop.getaddrinfo(host, port, family=family, type=socket.SOCK_STREAM)
        private = self._hosts.is_operators(host)
        for _, _, _, _, address in found:
            if not allowed(str(address[0]), private=private):
                raise AddressRefused(f"{host} has an address that is not public")
        return [(each, address) for each, _, _, _, address in found]

    def close(self) -> None:
        """Close nothing: Tornado's client asks for this."""


def allowed(address: str, *, private: bool) -> bool:
    """Return whether the hub connects to an IP address; `private` allows those of a local network.

    Link-local ones, where clouds have their metadata, are never allowed.
    """
    ip: ipaddress.IPv4Address | ipaddress.IPv6Address
    ip = ipaddress.ip_address(address.partition("%")[0])
    if isinstance(ip, ipaddress.IPv6Address):
        inner = ip.ipv4_mapped or ip.sixtofour or (ip.teredo and ip.teredo[1])
        if ip in NAT64:
            inner = ipaddress.IPv4Address(int(ip) & 0xFFFFFFFF)
        if inner:
            return allowed(str(inner), private=private)
    if ip.is_link_local or ip.is_multicast or ip.is_unspecified:
        return False
    if ip.is_global:
        return ip.version == 4 or ip in GLOBAL_UNICAST
    return private and (ip.is_private or ip.is_loopback)


class WebPush:
    """A notifications.Sender for push: a notification is sent if one device of the person has it.

    `now` is the hub's clock, by which a notification expires.
    """

    at_once = AT_ONCE

    def __init__(
        self,
        key: ec.EllipticCurvePrivateKey,
        devices: Devices,
        subject: str,
        hosts: PushHosts,
        now: Callable[[], datetime],
        *,
        trust: ssl.SSLContext | None = None,
    ) -> None:
        self._vapid = Vapid02(key, {"no-strict": True})  # the settings have checked the subject
        self._devices = devices
        self._subject = subject
        self._hosts = hosts
        self._now = now
        self._trust = trust
        self._client: AsyncHTTPClient | None = None
        self._headers: dict[str, tuple[float, str]] = {}
        self._turns: defaultdict[str, asyncio.Semaphore] = defaultdict(
            lambda: asyncio.Semaphore(REQUESTS_A_HOST)
        )
        self._encrypting = asyncio.Lock()
        # Notification → the endpoints that have it, while other devices are tried again.
        self._reached: dict[str, set[str]] = {}

    async def send(self, notification: Notification) -> str:
        """Return how many devices have it.

        Raises Undeliverable if no device ever will, TryLater if a push service asks for
        a later try or only some devices have it, and PushFailed if none could be reached.
        """
        devices = self._devices.devices(notification.to)
        if not devices:
            raise Undeliverable("the person has no device for pushes")
        content, reached = payload(notification), self._reached_of(notification.id)

        async def send_to(device: Device) -> None:
            await self._send_to(notification, content, device)
            reached.add(device.endpoint)  # at once: another device may hang until the time is over

        left = [each for each in devices if each.endpoint not in reached]
        outcomes = await asyncio.gather(*map(send_to, left), return_exceptions=True)
        failed = [each for each in outcomes if each is not None]
        later = [each for each in failed if not isinstance(each, Undeliverable)]
        waits = [each for each in later if isinstance(each, TryLater)]
        longest = max(waits, key=lambda each: each.seconds, default=None)
        if not later:
            self._reached.pop(notification.id, None)
        if not reached:
            raise longest or (later or failed)[0]
        of = f" of {len(devices)}" if len(reached) < len(devices) else ""
        detail = f"{len(reached)}{of} device{'' if len(devices) == 1 else 's'}"
        if later:
            raise TryLater(str(later[0]), longest.seconds if longest else 0.0, detail)
        return detail

    def _reached_of(self, name: str) -> set[str]:
        """Return the endpoints that have a notification: it is sent to the others only."""
        reached = self._reached.setdefault(name, set())
        if len(self._reached) > MOST_PARTLY:
            del self._reached[next(iter(self._reached))]
        return reached

    async def close(self) -> None:
        """Close the client. Requests that are under way fail."""
        if self._client is not None:
            self._client.close()
            self._client = None

    async def _send_to(self, notification: Notification, content: bytes, device: Device) -> None:
        reason = self._hosts.why_refused(device.endpoint)
        if reason is not None:
            raise Undeliverable(reason)
        parts = urlsplit(device.endpoint)
        async with self._turns[_service(parts.hostname or "")]:
            async with self._encrypting:
                await asyncio.sleep(0)  # one in a turn of the loop: each takes a part of a ms
                body = encrypt(content, device)
            seconds = (notification.expires - self._now()).total_seconds()
            headers = {
                "Authorization": self._authorization(f"https://{parts.netloc.lower()}"),
                "Content-Encoding": "aes128gcm",
                "Content-Type": "application/octet-stream",
                "TTL": str(int(min(max(seconds, 0), LONGEST_TTL))),
                "Urgency": notification.urgency.lower(),
            }
            if notification.topic:
                headers["Topic"] = topic_header(notification.topic)
            answer = await self._post(parts.hostname or "", device.endpoint, headers, body)
        if answer.code in (404, 410):
            await self._devices.remove_device(notification.to, device.endpoint)
            raise Undeliverable("the device has ended its subscription")
        _judge(answer, parts.hostname or "")

    async def _post(
        self, host: str, endpoint: str, headers: dict[str, str], body: bytes
    ) -> HTTPResponse:
        request = HTTPRequest(
            endpoint,
            method="POST",
            headers=headers,
            body=body,
            connect_timeout=TIMEOUT_SECONDS,
            request_timeout=TIMEOUT_SECONDS,
            follow_redirects=False,
            decompress_response=False,
            ssl_options=self._trust,
        )
        try:
            return await self._http().fetch(request, raise_error=False)
        except AddressRefused as error:
            raise Undeliverable(str(error)) from None
        except ssl.SSLCertVerificationError as error:
            why = f"the certificate of {host} cannot be verified: {error.verify_message}"
            raise PushFailed(why) from None
        except OSError as error:
            raise PushFailed(f"{host} cannot be reached: {error.strerror or error}") from None
        except Exception as error:  # HTTPError 599 and others, whose texts name no endpoint
            raise PushFailed(f"{host} gave no answer: {type(error).__name__}") from None

    def _http(self) -> AsyncHTTPClient:
        if self._client is None:
            self._client = AsyncHTTPClient(
                force_instance=True,
                max_clients=REQUESTS,
                resolver=GuardedResolver(self._hosts),
                max_body_size=ANSWER_BYTES,
                defaults={"user_agent": "trainhub"},
            )
        return self._client

    def _authorization(self, origin: str) -> str:
        """Return the VAPID header, signed again when its time nears or the clock was set back."""
        now = time.time()
        until, header = self._headers.get(origin, (0.0, ""))
        if HEADER_REST_SECONDS < until - now <= HEADER_SECONDS:
            return header
        if len(self._headers) >= MOST_HEADERS:
            self._headers.clear()
        until = int(now) + HEADER_SECONDS
        claims = {"aud": origin, "exp": until, "sub": self._subject}
        header = str(self._vapid.sign(claims)["Authorization"])
        self._headers[origin] = until, header
        return header


def payload(notification: Notification) -> bytes:
    """Return what the service worker gets: JSON, with the body shortened to what fits."""
    body = notification.body
    while True:
        fields = {
            "id": notification.id,
            "run": notification.stream,
            "seq": notification.seq,
            "kind": notification.kind,
            "topic": topic_header(notification.topic) if notification.topic else "",
            "language": notification.language,
            "title": notification.subject,
            "body": body,
            "link": notification.link,
            "urgency": notification.urgency.lower(),
            "expires": notification.expires.astimezone(UTC).isoformat(),
        }
        try:
            text: str = ujson.dumps(fields, ensure_ascii=False, escape_forward_slashes=False)
            content = text.encode()
        except UnicodeError as error:
            raise Undeliverable("the text has characters that no push can have") from error
        over = len(content) - (MESSAGE_BYTES - OVERHEAD_BYTES)
        if over <= 0:
            return content
        if not body:
            raise Undeliverable("the notification is too long for a push, even without its text")
        # A character has at most four bytes: at least this many characters go.
        body = body.removesuffix("…")[: -max(over // 4, 1) - 1]
        body = f"{body.rstrip()}…" if body else ""


def encrypt(content: bytes, device: Device) -> bytes:
    """Return the message for one device. Raises Undeliverable for bad keys."""
    try:
        made: bytes = http_ece.encrypt(
            content,
            salt=os.urandom(16),
            private_key=ec.generate_private_key(ec.SECP256R1()),
            dh=_decoded(device.p256dh),
            auth_secret=_decoded(device.auth),
            version="aes128gcm",
        )
    except (ValueError, http_ece.ECEException) as error:
        raise Undeliverable("the keys of the device's subscription cannot be used") from error
    return made


def topic_header(topic: str) -> str:
    """Return a topic as RFC 8030 takes it: 32 characters that tell no one what it is about."""
    digest = hashlib.sha256(topic.encode(errors="surrogatepass")).digest()
    return urlsafe_b64encode(digest).decode()[:TOPIC_LENGTH]


def _service(host: str) -> str:
    """Return whose host it is: a user may make up any number of names below one service."""
    return ".".join(host.split(".")[-3:])


def _decoded(text: str) -> bytes:
    return urlsafe_b64decode(text.rstrip("=") + "=" * (-len(text.rstrip("=")) % 4))


def _judge(answer: HTTPResponse, host: str) -> None:
    """Return if the push service has taken the message; else raise what its answer means."""
    code = answer.code
    if 200 <= code < 300:
        return
    words = f"{host} answered {code}"
    if code in (429, 503):
        raise TryLater(words, _retry_after(answer.headers.get("Retry-After", "")))
    if code >= 500:
        raise PushFailed(words)
    raise Undeliverable(words)


def _retry_after(text: str) -> float:
    """Return the seconds of a Retry-After, which is a number or a date."""
    if text.isascii() and text.isdecimal():
        return min(float(text[:9]), LATEST_SECONDS)
    try:
        at = parsedate_to_datetime(text)
    except (ValueError, OverflowError):
        return LATER_SECONDS
    # The oldest of the three forms (RFC 9110, 5.6.7) names no zone. All are in UTC.
    at = at if at.tzinfo else at.replace(tzinfo=UTC)
    return min(max((at - datetime.now(UTC)).total_seconds(), 0.0), LATEST_SECONDS)
