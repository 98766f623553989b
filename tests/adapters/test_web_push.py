"""trainhub/adapters/web_push.py: pushes over HTTPS to a service that verifies and decrypts them."""

import asyncio
import re
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest
from certificates import trusting, write_pair
from cryptography.hazmat.primitives.asymmetric import ec
from hypothesis import given
from hypothesis import strategies as st
from notices import NOW, push
from push_service import Subscription, push_service
from waiting import until

from trainhub.access.vapid import public_text
from trainhub.adapters import web_push as web_push_module
from trainhub.adapters.web_push import (
    MESSAGE_BYTES,
    OVERHEAD_BYTES,
    AddressRefused,
    GuardedResolver,
    PushFailed,
    WebPush,
    allowed,
    payload,
    topic_header,
)
from trainhub.core.notifications import TryLater, Undeliverable, Urgency
from trainhub.core.push_hosts import PushHosts

KEY = ec.generate_private_key(ec.SECP256R1())


class Contacts:
    """Holds the devices of users in memory."""

    def __init__(self, *devices):
        self.kept = {"IR_1": list(devices)}
        self.removed = []

    def devices(self, user):
        return tuple(self.kept.get(user, ()))

    async def remove_device(self, user, endpoint):
        self.removed.append((user, endpoint))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    return write_pair(tmp_path_factory.mktemp("tls"))


def run(pair, story):
    """Run a story with a service that the operator has added, and a maker of senders."""

    async def whole():
        async with push_service(pair) as service, asyncio.timeout(60):

            def sender(contacts):
                hosts = PushHosts([f"localhost:{service.port}"])
                subject = "mailto:ops@example.org"
                return WebPush(KEY, contacts, subject, hosts, lambda: NOW, trust=trusting(pair[0]))

            await story(service, sender)

    asyncio.run(whole())


def test_a_push_arrives(pair):
    """Each device can decrypt its own; the headers say who sends, how long and how urgent."""

    async def story(service, sender):
        contacts = Contacts(service.subscribe("phone"), service.subscribe("tablet"))
        web_push = sender(contacts)
        assert await web_push.send(push()) == "2 devices"
        await web_push.close()
        assert {name for name, _ in service.messages} == {"phone", "tablet"}
        _, message = service.messages[0]
        assert message["title"] == push().subject
        assert message["link"] == "passenger.html#offer=1"
        assert (message["run"], message["seq"]) == ("12951/2026-11-27", 17)
        headers = service.headers[0]
        assert headers["Ttl"] == str(30 * 60)
        assert headers["Urgency"] == "high"
        assert headers["Topic"] == topic_header("offer-1")
        assert f"k={public_text(KEY)}" in headers["Authorization"]
        assert service.claims[0]["sub"] == "mailto:ops@example.org"

    run(pair, story)


def test_the_vapid_header_is_signed_once_for_an_origin(pair):
    """A signature costs as much as an encryption, and is good for hours."""

    async def story(service, sender):
        web_push = sender(Contacts(service.subscribe("phone")))
        for _ in range(3):
            await web_push.send(push())
        await web_push.close()
        assert len({each["Authorization"] for each in service.headers}) == 1

    run(pair, story)


@pytest.mark.parametrize("status", [404, 410])
def test_a_subscription_that_ended_is_removed_alone(pair, status):
    """The person's other devices stay, and have the push."""

    async def story(service, sender):
        old, new = service.subscribe("old"), service.subscribe("new")
        contacts = Contacts(old, new)
        service.answers["old"] = status, {}
        web_push = sender(contacts)
        assert await web_push.send(push()) == "1 of 2 devices"
        assert contacts.removed == [("IR_1", old.endpoint)]
        contacts.kept["IR_1"] = [old]
        with pytest.raises(Undeliverable, match="ended its subscription"):
            await web_push.send(push())
        await web_push.close()

    run(pair, story)


@pytest.mark.parametrize(("status", "seconds"), [(500, 0), (429, 120)])
def test_a_device_that_failed_is_tried_again_alone(pair, status, seconds):
    """The other device has the push already, and gets no second one."""

    async def story(service, sender):
        phone, tablet = service.subscribe("phone"), service.subscribe("tablet")
        contacts = Contacts(phone, tablet)
        service.answers["phone"] = status, {"Retry-After": "120"}
        web_push = sender(contacts)
        for _ in range(2):
            with pytest.raises(TryLater, match=f"answered {status}") as caught:
                await web_push.send(push())
            assert caught.value.reached == "1 of 2 devices"
            assert caught.value.seconds == seconds
        del service.answers["phone"]
        assert await web_push.send(push()) == "2 devices"
        assert [name for name, _ in service.messages] == ["tablet", "phone"]
        service.answers["phone"] = status, {}
        with pytest.raises(TryLater):
            await web_push.send(push(id="another"))
        contacts.kept["IR_1"] = [tablet]
        assert await web_push.send(push(id="another")) == "1 device"
        assert [name for name, _ in service.messages] == ["tablet", "phone", "tablet"]
        await web_push.close()

    run(pair, story)


def test_a_device_that_hangs_holds_up_no_other(pair):
    """The time for the whole push ends, and the device that has it gets no second one."""

    async def story(service, sender):
        quick, slow = service.subscribe("quick"), service.subscribe("slow")
        service.holds = {"slow"}
        service.hold.clear()
        web_push = sender(Contacts(quick, slow))
        sending = asyncio.create_task(web_push.send(push()))
        await until(lambda: any(web_push._reached.values()))  # the quick one's answer is here
        sending.cancel()
        await asyncio.wait([sending])
        service.hold.set()
        assert await web_push.send(push()) == "2 devices"
        assert [name for name, _ in service.messages].count("quick") == 1
        await web_push.close()

    run(pair, story)


@pytest.mark.parametrize(
    ("status", "header", "least", "most"),
    [
        (429, "120", 120, 120),
        (503, "7", 7, 7),
        (503, None, 1, 60),
        (503, "soon", 1, 60),
        (429, "99999999999", 3600, 3600),
        (503, "in half an hour", 1000, 1800),
        (503, "Thu, 01 Jan 1970 00:00:00 GMT", 0, 0),
        (503, "Thu Jan  1 00:00:00 2099", 3600, 3600),
        (503, "Thursday, 01-Jan-70 00:00:00 GMT", 0, 0),
        (503, "Fri, 31 Dec 99999999999999 23:59:59 GMT", 1, 60),
        (503, "Fri, 31 Dec 2027 23:59:59 +99999999999999", 1, 60),
    ],
)
def test_retry_after(pair, status, header, least, most):
    """The hub comes back when the service says, within an hour."""
    if header == "in half an hour":
        header = format_datetime(datetime.now(UTC) + timedelta(minutes=30))

    async def story(service, sender):
        contacts = Contacts(service.subscribe("phone"))
        service.answers["phone"] = status, {} if header is None else {"Retry-After": header}
        web_push = sender(contacts)
        with pytest.raises(TryLater, match=f"localhost answered {status}") as got:
            await web_push.send(push())
        assert least <= got.value.seconds <= most
        assert contacts.removed == []
        await web_push.close()

    run(pair, story)


@pytest.mark.parametrize(
    ("status", "error"),
    [
        (400, Undeliverable),
        (403, Undeliverable),
        (413, Undeliverable),
        (500, PushFailed),
        (502, PushFailed),
    ],
)
def test_other_answers(pair, status, error):
    """A 4xx is final for this push, a 5xx is tried again; no device is removed."""

    async def story(service, sender):
        contacts = Contacts(service.subscribe("phone"))
        service.answers["phone"] = status, {}
        web_push = sender(contacts)
        with pytest.raises(error, match=f"localhost answered {status}"):
            await web_push.send(push())
        assert contacts.removed == []
        await web_push.close()

    run(pair, story)


def test_a_redirect_is_not_followed(pair):
    """The address that the service names is never asked."""

    async def story(service, sender):
        contacts = Contacts(service.subscribe("phone"))
        service.subscribe("other")
        service.answers["phone"] = 307, {"Location": f"{service.origin}/push/other"}
        web_push = sender(contacts)
        with pytest.raises(Undeliverable, match="answered 307"):
            await web_push.send(push())
        assert service.messages == []
        await web_push.close()

    run(pair, story)


def test_a_service_with_another_certificate_gets_nothing(pair):
    """The name of a push service is proved before anything is sent."""

    async def story(service, sender):
        hosts = PushHosts([f"localhost:{service.port}"])
        contacts = Contacts(service.subscribe("phone"))
        web_push = WebPush(KEY, contacts, "mailto:a@b.c", hosts, lambda: NOW)
        with pytest.raises(PushFailed):
            await web_push.send(push())
        await web_push.close()
        assert service.messages == []

    run(pair, story)


def test_an_endpoint_that_is_not_allowed_is_never_asked(pair):
    """The list of hosts is asked at each send: it may have become shorter."""

    async def story(service, sender):
        device = service.subscribe("phone")
        web_push = WebPush(
            KEY, Contacts(device), "mailto:a@b.c", PushHosts(), lambda: NOW, trust=trusting(pair[0])
        )
        with pytest.raises(Undeliverable, match="on port 443"):
            await web_push.send(push())
        await web_push.close()
        assert service.messages == []

    run(pair, story)


def test_a_service_that_hangs_or_is_gone(pair, monkeypatch):
    """The try ends after the time, and says what happened."""
    monkeypatch.setattr(web_push_module, "TIMEOUT_SECONDS", 0.5)

    async def story(service, sender):
        contacts = Contacts(service.subscribe("phone"))
        web_push = sender(contacts)
        service.hold.clear()
        with pytest.raises(PushFailed, match="localhost gave no answer"):
            await web_push.send(push())
        service.hold.set()
        await web_push.close()
        hosts = PushHosts(["localhost:1"])
        gone = Subscription("https://localhost:1/x", *("A" * 8,) * 2)
        web_push = WebPush(KEY, Contacts(gone), "mailto:a@b.c", hosts, lambda: NOW)
        with pytest.raises(Undeliverable, match="keys of the device's subscription"):
            await web_push.send(push())
        whole = service.subscribe("x")
        gone = Subscription("https://localhost:1/x", whole.p256dh, whole.auth)
        web_push = WebPush(KEY, Contacts(gone), "mailto:a@b.c", hosts, lambda: NOW)
        with pytest.raises(PushFailed, match="localhost"):
            await web_push.send(push())
        await web_push.close()

    run(pair, story)


def test_one_service_gets_few_requests_at_once(pair):
    """A slow service takes no more connections than its share."""

    async def story(service, sender):
        contacts = Contacts(*(service.subscribe(f"d{number}") for number in range(10)))
        web_push = sender(contacts)
        service.hold.clear()
        sends = [asyncio.create_task(web_push.send(push(id=f"n{n}"))) for n in range(4)]
        while service.at_once < web_push_module.REQUESTS_A_HOST:
            await asyncio.sleep(0.01)
        service.hold.set()
        assert await asyncio.gather(*sends) == ["10 devices"] * 4
        assert service.most_at_once == web_push_module.REQUESTS_A_HOST
        await web_push.close()

    run(pair, story)


def test_a_person_without_devices():
    """There is nowhere to send it: the next channel has its turn."""

    async def story():
        web_push = WebPush(KEY, Contacts(), "mailto:a@b.c", PushHosts(), lambda: NOW)
        with pytest.raises(Undeliverable, match="no device"):
            await web_push.send(push(to="IR_2"))
        await web_push.close()

    asyncio.run(story())


@given(st.text(max_size=6000))
def test_a_payload_fits_or_is_refused(body):
    """Whatever the text is: what is sent is JSON of a size that every service takes."""
    try:
        content = payload(push(body=body))
    except Undeliverable:
        return
    assert len(content) <= MESSAGE_BYTES - OVERHEAD_BYTES


def test_a_long_text_is_shortened():
    """The title, the link and the beginning of the text arrive."""
    content = payload(push(body="आशा " * 3000)).decode()
    assert '"body":"आशा आशा' in content
    assert "…" in content
    assert len(content.encode()) > 3000
    with pytest.raises(Undeliverable, match="too long"):
        payload(push(subject="x" * 5000))
    with pytest.raises(Undeliverable, match="characters"):
        payload(push(body="\ud800"))


@given(st.text())
def test_a_topic_header_is_what_rfc_8030_takes(topic):
    """32 characters of base64url, the same for the same topic."""
    assert re.fullmatch(r"[A-Za-z0-9_-]{32}", topic_header(topic))
    assert topic_header(topic) == topic_header(topic)


def test_urgency_without_topic(pair):
    """A notification without a topic replaces none."""

    async def story(service, sender):
        web_push = sender(Contacts(service.subscribe("phone")))
        await web_push.send(push(topic="", urgency=Urgency.LOW, expires=NOW - timedelta(1)))
        await web_push.close()
        assert service.headers[0]["Urgency"] == "low"
        assert service.headers[0]["Ttl"] == "0"
        assert "Topic" not in service.headers[0]

    run(pair, story)


@pytest.mark.parametrize(
    ("address", "public", "private"),
    [
        ("142.250.1.95", True, True),
        ("2a00:1450:4001::5f", True, True),
        ("127.0.0.1", False, True),
        ("::1", False, True),
        ("10.1.2.3", False, True),
        ("192.168.1.1", False, True),
        ("172.16.0.1", False, True),
        ("fd00::1", False, True),
        ("100.64.0.1", False, False),
        ("169.254.169.254", False, False),
        ("fe80::1%eth0", False, False),
        ("0.0.0.0", False, False),
        ("::", False, False),
        ("224.0.0.1", False, False),
        ("::ffff:169.254.169.254", False, False),
        ("::ffff:10.0.0.1", False, True),
        ("64:ff9b::a00:1", False, True),
        ("64:ff9b::a9fe:a9fe", False, False),
        ("2002:7f00:1::", False, True),
        ("64:ff9b::8efa:15f", True, True),
        ("::7f00:1", False, False),
        ("::ffff:0:a9fe:a9fe", False, False),
        ("64:ff9b:1::7f00:1", False, False),
        ("fec0::1", False, False),
    ],
)
def test_addresses(address, public, private):
    """Only public addresses; for the operator's own service also those of the local network."""
    assert allowed(address, private=False) is public
    assert allowed(address, private=True) is private


def test_a_name_with_a_private_address_is_refused():
    """What a name resolves to is judged before the connection, which goes to that very address."""

    async def story():
        with pytest.raises(AddressRefused):
            await GuardedResolver(PushHosts()).resolve("localhost", 443)
        found = await GuardedResolver(PushHosts(["localhost"])).resolve("localhost", 443)
        assert {address[0] for _, address in found} <= {"127.0.0.1", "::1"}

    asyncio.run(story())
