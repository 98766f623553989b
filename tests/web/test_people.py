"""trainhub/web/people.py: preferences, devices and letters over HTTP."""

from dataclasses import replace
from datetime import UTC, datetime

import pytest
from railway import person
from waiting import PATIENCE

from trainhub.core.notifications import Channel
from trainhub.core.write_buffer import StoreAway

pytestmark = pytest.mark.gen_test(timeout=PATIENCE)
ENDPOINT = "https://fcm.googleapis.com/fcm/send/abc"
KEYS = {"p256dh": "B" + "A" * 86, "auth": "a" * 22}
PLAIN = {
    "language": "en",
    "channels": ["EMAIL", "PUSH"],
    "muted": [],
    "quietFrom": None,
    "quietTo": None,
}
CHOSEN = {
    "language": "hi",
    "channels": ["PUSH"],
    "muted": ["DELAY"],
    "quietFrom": "22:00",
    "quietTo": "06:30",
}


async def test_preferences_are_of_the_tokens_user(call, site):
    """What one user chooses is that user's alone; what is left out is as if nothing was chosen."""
    assert (await call("GET", "/api/me/preferences", who="PASSENGER")).result == PLAIN
    answer = await call("PUT", "/api/me/preferences", CHOSEN, "PASSENGER")
    assert answer.result == CHOSEN
    assert (await call("GET", "/api/me/preferences", who="PASSENGER")).result == CHOSEN
    assert (await call("GET", "/api/me/preferences", who="TTE")).result == PLAIN
    answer = await call("PUT", "/api/me/preferences", {"language": "hi"}, "PASSENGER")
    assert answer.result == {**PLAIN, "language": "hi"}


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"language": "xx"}, "language is one of en, hi"),
        ({"channels": ["SMS"]}, "channels"),
        ({"muted": ["TEA"]}, "unknown kind 'TEA'; expected OFFER, CONFIRMED, CLOSED,"),
        ({"quietFrom": "22:00"}, "go together"),
        ({"quietFrom": "22", "quietTo": "06:00"}, "quietFrom is a time like 22:00"),
        ({"colour": "red"}, "colour"),
    ],
)
async def test_a_choice_that_cannot_be_meant_changes_nothing(call, fields, said):
    """The error says what may be chosen."""
    answer = await call("PUT", "/api/me/preferences", fields, "PASSENGER")
    assert (answer.status, answer.code) == (400, "BAD_MESSAGE")
    assert said in answer.json["error"]["message"]
    assert (await call("GET", "/api/me/preferences", who="PASSENGER")).result == PLAIN


@pytest.mark.parametrize("method", ["GET", "PUT"])
async def test_nobody_else_has_preferences(call, method):
    """They need a token."""
    body = {} if method == "PUT" else None
    assert (await call(method, "/api/me/preferences", body)).status == 401


async def test_a_browser_is_added_and_removed(call, site):
    """By the JSON of its PushSubscription; its keys are not shown again."""
    given = {"endpoint": ENDPOINT, "keys": KEYS, "expirationTime": None}
    assert (await call("POST", "/api/me/devices", given, "PASSENGER")).status == 200
    assert (await call("GET", "/api/me/devices", who="PASSENGER")).result == [
        {"endpoint": ENDPOINT}
    ]
    assert (await call("GET", "/api/me/devices", who="TTE")).result == []
    (device,) = site.web.contacts.devices("IR_1")
    assert (device.p256dh, device.auth) == (KEYS["p256dh"], KEYS["auth"])
    gone = await call("DELETE", "/api/me/devices", {"endpoint": ENDPOINT}, "PASSENGER")
    assert gone.status == 200
    assert (await call("GET", "/api/me/devices", who="PASSENGER")).result == []


@pytest.mark.parametrize(
    "given",
    [
        {"endpoint": "http://fcm.googleapis.com/x", "keys": KEYS},
        {"endpoint": "https://127.0.0.1/x", "keys": KEYS},
        {"endpoint": "https://evil.example/x", "keys": KEYS},
        {"endpoint": "https://fcm.googleapis.com:8443/x", "keys": KEYS},
        {"endpoint": ENDPOINT, "keys": {**KEYS, "auth": "short"}},
        {"endpoint": ENDPOINT},
    ],
)
async def test_an_endpoint_is_a_push_service(call, site, given):
    """Users choose it: only https, known hosts, no addresses in figures."""
    answer = await call("POST", "/api/me/devices", given, "PASSENGER")
    assert (answer.status, answer.code) == (400, "BAD_MESSAGE")
    assert site.web.contacts.devices("IR_1") == []


async def test_the_push_key_is_public(call):
    """Null on a hub that sends no pushes."""
    assert (await call("GET", "/api/push/key")).result == {"key": None}


class Archive:
    """A hub's archive with one letter."""

    away = False

    async def letters(self, run, about, user, most):
        if self.away:
            raise StoreAway("away")
        self.asked = run, about, user
        return [
            {
                "_id": "n1",
                "event": 3,
                "kind": "NO_SHOW",
                "channel": Channel.EMAIL.value,
                "user": "IR_1",
                "about": "4512345601/1",
                "outcome": "SENT",
                "attempts": 1,
                "at": datetime(2026, 11, 23, 4, 0, tzinfo=UTC),
                "detail": "",
                "queuedAt": datetime(2026, 11, 23, 3, 59, tzinfo=UTC),
                "sentAt": datetime(2026, 11, 23, 4, 0, tzinfo=UTC),
                "seenAt": None,
            }
        ]


async def test_staff_read_what_became_of_letters(call, site):
    """Of their run, or of one person on it; passengers and other trains' staff may not."""
    await site.register(person(1))
    site.hub.archive = archive = Archive()
    path = "/api/trains/12345/notifications"
    (letter,) = (await call("GET", path, who="TTE")).result
    assert (letter["kind"], letter["outcome"]) == ("NO_SHOW", "SENT")
    assert letter["at"] == letter["sentAt"] == "2026-11-23T04:00:00.000+00:00"
    assert letter["queuedAt"] == "2026-11-23T03:59:00.000+00:00"
    assert letter["seenAt"] is None
    assert archive.asked == ("12345/2026-11-23", None, None)
    await call("GET", f"{path}?pnr=4512345601&index=1", who="TTE")
    assert archive.asked == ("12345/2026-11-23", "4512345601/1", "IR_1")
    assert (await call("GET", f"{path}?pnr=4512345601", who="TTE")).status == 400
    assert (await call("GET", f"{path}?pnr=4512345601&index=x", who="TTE")).status == 400
    for who, status in (("PASSENGER", 403), ("OTHER_TTE", 403), (None, 401)):
        assert (await call("GET", path, who=who)).status == status
    archive.away = True
    assert (await call("GET", path, who="TTE")).status == 503


@pytest.mark.parametrize("settings_of_web", [{"contacts": None}])
async def test_a_hub_without_a_place_for_it_says_so(call, site, settings_of_web):
    """UNAVAILABLE, and not an empty choice."""
    site.web = replace(site.web, **settings_of_web)
    answer = await call("GET", "/api/me/preferences", who="PASSENGER")
    assert (answer.status, answer.code) == (503, "UNAVAILABLE")


async def test_the_control_room_tries_dead_letters_again(call, site):
    """Only it may; without a place for dead letters the hub says so."""
    path = "/api/notifications/retry"
    for who, status in (("TTE", 403), ("PASSENGER", 403), (None, 401), ("ADMIN", 503)):
        assert (await call("POST", path, b"", who)).status == status

    async def retry():
        return 3

    object.__setattr__(site.web, "retry_letters", retry)
    assert (await call("POST", path, b"", "ADMIN")).result == {"retried": 3}
