"""How fast the channels are, and what that costs the event loop.

    python bench/channels.py [E-MAILS]

(a) sends e-mails through one SMTP server over the one kept connection; (b) encrypts pushes on the
loop's thread; (c) sends pushes to an HTTPS service that verifies and decrypts each. The servers
run in processes of their own on the same machine. Meanwhile a ticker measures how late the loop is.
"""

import asyncio
import os
import ssl
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import ujson
from certificates import trusting, write_pair
from cryptography.hazmat.primitives.asymmetric import ec
from mail_servers import mail_server
from notices import notice, push
from push_service import Subscription, push_service

from trainhub.adapters import mail, web_push
from trainhub.adapters.mail import SmtpMail
from trainhub.adapters.web_push import WebPush, encrypt, payload
from trainhub.core.push_hosts import PushHosts

TICK_SECONDS = 0.005
PUSHES = 1_000
ENCRYPTIONS = 5_000


class Contacts:
    """Holds the one device of all users."""

    def __init__(self, device: Subscription) -> None:
        self._device = device

    def devices(self, user: str) -> tuple[Subscription, ...]:
        return (self._device,)

    async def remove_device(self, user: str, endpoint: str) -> None:
        raise AssertionError("the service has refused the device")


async def lag_while(work: Awaitable[None]) -> tuple[float, float]:
    """Return the seconds of the work, and the p99 of the loop's lateness in milliseconds."""
    late: list[float] = []

    async def tick() -> None:
        while True:
            due = time.perf_counter() + TICK_SECONDS
            await asyncio.sleep(TICK_SECONDS)
            late.append((time.perf_counter() - due) * 1000)

    ticking = asyncio.create_task(tick())
    began = time.perf_counter()
    await work
    took = time.perf_counter() - began
    ticking.cancel()
    late.sort()
    return took, late[int(len(late) * 0.99)]


async def send_all(count: int, at_once: int, send: Callable[[int], Awaitable[str]]) -> None:
    """Send with as many at once as the hub does."""
    numbers = iter(range(count))

    async def worker() -> None:
        for number in numbers:
            await send(number)

    await asyncio.gather(*(worker() for _ in range(at_once)))


async def e_mails(count: int) -> None:
    with Server("mail") as line:
        sender = SmtpMail(f"smtp://127.0.0.1:{line}", "hub@example.org", "https://hub.example")

        def send(number: int) -> Awaitable[str]:
            return sender.send(notice(id=f"bench-{number}", to=f"p{number}@example.org"))

        took, late = await lag_while(send_all(count, mail.AT_ONCE, send))
        await sender.close()
    print(f"(a) {count / took * 60:,.0f} e-mails a minute; the loop's lag p99 {late:.1f} ms")


async def pushes(folder: Path) -> None:
    with Server("push", str(folder)) as line:
        device = Subscription(**ujson.loads(line))
        content, times = payload(push()), []
        for _ in range(ENCRYPTIONS):
            began = time.perf_counter()
            encrypt(content, device)
            times.append(time.perf_counter() - began)
        times.sort()
        print(
            f"(b) {ENCRYPTIONS / sum(times):,.0f} encryptions a second of {len(content)} bytes; "
            f"one takes {times[ENCRYPTIONS // 2] * 1000:.2f} ms, "
            f"p99 {times[ENCRYPTIONS * 99 // 100] * 1000:.2f} ms"
        )
        host = device.endpoint.removeprefix("https://").partition("/")[0]
        sender = WebPush(
            ec.generate_private_key(ec.SECP256R1()),
            Contacts(device),
            "mailto:ops@example.org",
            PushHosts([host]),
            lambda: datetime.now(UTC),
            trust=trusting(folder / "hub.crt"),
        )
        expires = datetime.now(UTC) + timedelta(hours=1)

        def send(number: int) -> Awaitable[str]:
            return sender.send(push(id=f"bench-{number}", expires=expires))

        took, late = await lag_while(send_all(PUSHES, web_push.AT_ONCE, send))
        await sender.close()
    print(f"(c) {PUSHES / took:,.0f} pushes a second; the loop's lag p99 {late:.1f} ms")


class Server:
    """A server in a process of its own; entering returns the line that it prints."""

    def __init__(self, *arguments: str) -> None:
        self._process = subprocess.Popen(
            [sys.executable, __file__, "--serve", *arguments], stdout=subprocess.PIPE, text=True
        )

    def __enter__(self) -> str:
        assert self._process.stdout is not None
        return self._process.stdout.readline().strip()

    def __exit__(self, *_: object) -> None:
        self._process.terminate()
        self._process.communicate()


async def serve(kind: str, *arguments: str) -> None:
    if kind == "mail":
        async with mail_server() as running:
            print(running.port, flush=True)
            await asyncio.Event().wait()
    folder = Path(arguments[0])
    async with push_service((folder / "hub.crt", folder / "hub.key")) as service:
        print(ujson.dumps(vars(service.subscribe("phone"))), flush=True)
        await asyncio.Event().wait()


def main() -> None:
    if sys.argv[1:2] == ["--serve"]:
        asyncio.run(serve(*sys.argv[2:]))
        return
    print(f"{os.cpu_count()} cores, Python {sys.version.split()[0]}, {ssl.OPENSSL_VERSION}")
    asyncio.run(e_mails(int(sys.argv[1]) if sys.argv[1:] else 5_000))
    with tempfile.TemporaryDirectory() as name:
        write_pair(Path(name))
        asyncio.run(pushes(Path(name)))


if __name__ == "__main__":
    main()
