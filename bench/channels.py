"""How fast the channels are, and what that costs the event loop.

    python bench/channels.py [E-MAILS]
    python bench/channels.py --hanging [ROUNDS]

(a) sends e-mails through one SMTP server over the one kept connection; (b) encrypts pushes on the
loop's thread; (c) sends pushes to an HTTPS service that verifies and decrypts each. The servers
run in processes of their own on the same machine. Meanwhile a ticker measures how late the loop is.

With --hanging the SMTP server accepts connections and never says a word: (d) the loop's lag while
10,000 letters are made and wait, against a queue without letters; (e) the time of durable commands
of a hub with 10,000 such letters, against a hub without letters, in alternate rounds.
"""

import asyncio
import os
import random
import ssl
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Awaitable, Callable
from contextlib import ExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
sys.path.insert(0, str(Path(__file__).parents[1]))

import ujson
from certificates import trusting, write_pair
from cryptography.hazmat.primitives.asymmetric import ec
from durable_commands import DAY, Bench
from fakes import KeptJobs
from load import wait_for
from mail_servers import Silent, mail_server
from notices import notice, push
from push_service import Subscription, push_service
from railway import MORNING, RUN, TRAIN, Driver, chart, person

from trainhub.adapters import mail, web_push
from trainhub.adapters.mail import SmtpMail
from trainhub.adapters.web_push import WebPush, encrypt, payload
from trainhub.core.journal import Record
from trainhub.core.notifications import Channel, Notifications
from trainhub.core.push_hosts import PushHosts
from trainhub.domain import commands as c
from trainhub.domain.model import Level
from trainhub.hub.letters import Letters

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


# Each announcement is a letter to each of these people. Together they fill the queue.
PEOPLE, ANNOUNCEMENTS = 2_500, 4
WAITING = PEOPLE * ANNOUNCEMENTS
LAG_SECONDS = 5.0
CLIENTS, ROUND_SECONDS = 10, 4.0


def full_train() -> dict[str, object]:
    """Return the people and coaches of a chart."""
    people = [
        person(
            number + 1,
            irctcId=f"U{number}",
            pnr=f"46{number:08}",
            coach=f"S{number // 72}",
            berth=number % 72 + 1,
            email=f"p{number}@example.org",
        )
        for number in range(PEOPLE)
    ]
    coaches = [{"code": f"S{n}", "class": "SL", "berths": 72} for n in range(PEOPLE // 72 + 1)]
    return {"people": people, "coaches": coaches}


async def lag_of_letters(rounds: int) -> None:
    train = full_train()
    driver = Driver(*train["people"], coaches=train["coaches"])
    for _ in range(ANNOUNCEMENTS):
        driver.give(c.Announce(**TRAIN, text="Leave the train.", level=Level.EMERGENCY))
    events = driver.events[-ANNOUNCEMENTS:]
    records = [Record(seq, RUN, seq, event) for seq, event in enumerate(events, start=1)]
    letters = Letters()
    with Server("silent") as port:

        async def wait(records: list[Record]) -> float:
            sender = SmtpMail(f"smtp://127.0.0.1:{port}", "hub@example.org", "https://hub.example")
            queue = Notifications(
                sender,
                lambda record: letters.plan(driver.state, record, [Channel.EMAIL]),
                KeptJobs(),
                lambda: MORNING,
            )

            async def work() -> None:
                end = time.monotonic() + LAG_SECONDS
                queue.accept(records)
                while time.monotonic() < end or queue.depth < len(records) * PEOPLE:
                    queue.begin_drain()
                    await asyncio.sleep(0.2)

            _, late = await lag_while(work())
            assert queue.depth == len(records) * PEOPLE
            await queue.close()
            await sender.close()
            return late

        found: dict[bool, list[float]] = {True: [], False: []}
        for _ in range(rounds):
            for some in random.sample([True, False], 2):
                found[some].append(await wait(records if some else []))
    print(f"(d) the loop's lag p99, medians of {rounds} rounds of {LAG_SECONDS:g} s:")
    for some, text in {True: f"with {WAITING:,} letters", False: "without letters"}.items():
        least, most = min(found[some]), max(found[some])
        print(f"    {text}: {statistics.median(found[some]):.1f} ms ({least:.1f} to {most:.1f})")


def commands_with_letters(rounds: int) -> None:
    with ExitStack() as stack:
        port = stack.enter_context(Server("silent"))
        options = ("--smtp-url", f"smtp://127.0.0.1:{port}", "--mail-from", "hub@example.org")
        hubs = {
            "without": Bench(stack, True, None, *options),
            "with": Bench(stack, True, None, *options),
        }
        ask, train = hubs["with"].ask, full_train()
        people, coaches = train["people"], train["coaches"]
        ask("/api/trains", chart(*people, trainNo="9999", startDate=DAY, coaches=coaches))
        ask(f"/api/trains/9999/start?date={DAY}", {})
        for _ in range(ANNOUNCEMENTS):
            text = {"text": "Leave the train.", "level": "EMERGENCY"}
            ask(f"/api/trains/9999/announcements?date={DAY}", text)

        def waiting() -> int:
            found = ask("/api/monitor")["notifications"]
            return int(found["depth"] + found["setAside"])

        # The pushes are files in the outbox, and are gone before the first round.
        wait_for(lambda: ask("/api/monitor")["notifications"]["sent"] == WAITING, 300)
        assert waiting() == WAITING
        for hub in hubs.values():
            hub.round(CLIENTS, 1.0)  # not counted: it warms the hub up
        found: dict[str, list[dict[str, float]]] = {name: [] for name in hubs}
        for _ in range(rounds):
            for name in random.sample([*hubs], 2):
                found[name].append(hubs[name].round(CLIENTS, ROUND_SECONDS))
        assert waiting() == WAITING
    print(f"(e) {CLIENTS} clients, medians of {rounds} rounds of {ROUND_SECONDS:g} s:")
    for name, unit in {"p50": "ms", "p99": "ms", "rate": "commands/s"}.items():
        with_, without = (
            statistics.median(each[name] for each in found[key]) for key in ("with", "without")
        )
        ratios = [a[name] / b[name] for a, b in zip(found["with"], found["without"], strict=True)]
        print(
            f"    {name}: {with_:,.2f} {unit} with {WAITING:,} letters, {without:,.2f} without; "
            f"ratio {statistics.median(ratios):.3f} ({min(ratios):.2f} to {max(ratios):.2f})"
        )


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
    if kind == "silent":
        listening = await asyncio.get_running_loop().create_server(Silent, "127.0.0.1", 0)
        print(listening.sockets[0].getsockname()[1], flush=True)
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
    if sys.argv[1:2] == ["--hanging"]:
        rounds = int(sys.argv[2]) if sys.argv[2:] else 10
        asyncio.run(lag_of_letters(rounds))
        commands_with_letters(rounds)
        return
    asyncio.run(e_mails(int(sys.argv[1]) if sys.argv[1:] else 5_000))
    with tempfile.TemporaryDirectory() as name:
        write_pair(Path(name))
        asyncio.run(pushes(Path(name)))


if __name__ == "__main__":
    main()
