"""Who reads whose letters: all kinds over a real SMTP server and a push service that decrypts."""

import asyncio
from collections import Counter, defaultdict
from copy import deepcopy
from dataclasses import replace
from email import message_from_bytes
from email.policy import SMTP

import pytest
from certificates import trusting, write_pair
from cryptography.hazmat.primitives.asymmetric import ec
from fakes import KeptJobs
from mail_servers import mail_server
from marked import marked, marked_rac, marked_wl, words_in, words_of
from push_service import push_service
from railway import MORNING, RUN, TRAIN, Driver
from voyage import voyages

from trainhub.adapters.mail import SmtpMail
from trainhub.adapters.web_push import WebPush
from trainhub.core.contacts import Preferences
from trainhub.core.journal import Record
from trainhub.core.notifications import Channel, Notifications
from trainhub.core.push_hosts import PushHosts
from trainhub.domain import commands as c
from trainhub.domain.commands import To
from trainhub.domain.model import Level
from trainhub.hub.letters import KINDS, Escalation, Letters
from trainhub.hub.wording import LANGUAGES

AGENT = "AGENT_zq"


def secret(person):
    """Return a text that is announced to the user of one booking alone."""
    return person["name"].replace("Nomen", "Secret")


def crowd():
    """Return people, half of them booked by one agent, each with a PNR and an address."""
    agent = {"irctcId": AGENT}
    return [
        *(marked(1, **agent), marked(2, "BBB", "DDD", **agent), marked(3), marked(4, to="DDD")),
        *(marked_rac(10, 1), marked_rac(11, 2) | agent),
        *(marked_wl(20, 1, **agent), marked_wl(21, 2)),
    ]


def events_about(person, driver):
    """Return each type of event that leads to letters, about one person, and all of the run's."""
    made = {type(each): each for voyage in voyages() for each in voyage.events}
    driver = deepcopy(driver)
    driver.give(c.SkipStation(**TRAIN, station_code="BBB"))
    mine = {
        "pnr": person["pnr"],
        "index": person["index"],
        "user": person["irctcId"],
        "name": person["name"],
    }
    for event in made.values():
        names = event.__dataclass_fields__.keys()
        if {"pnr", "index"} <= names:
            yield replace(event, **{name: mine[name] for name in mine.keys() & names}, at=MORNING)
    yield from (
        each
        for command in (
            c.Announce(
                **TRAIN,
                text=secret(person),
                level=Level.EMERGENCY,
                to=To.USER,
                user=person["irctcId"],
            ),
            c.Announce(**TRAIN, text="fire", level=Level.EMERGENCY),
            c.SetPlatform(**TRAIN, station_code="AAA", platform="9"),
            c.SetDelay(**TRAIN, delay_minutes=45),
            c.SkipStation(**TRAIN, station_code="DDD"),
            c.ShortTerminate(**TRAIN, station_code="CCC"),
            c.UndoSkip(**TRAIN, station_code="BBB"),
            c.CancelTrain(**TRAIN),
        )
        for each in deepcopy(driver.state).carry_out(command, MORNING)
    )
    driver.give(c.CancelTrain(**TRAIN))
    yield from driver.give(c.ReinstateTrain(**TRAIN))


def text_of(content):
    """Return all that a reader of an e-mail can see, decoded, with its headers and raw bytes."""
    mail = message_from_bytes(content, policy=SMTP)
    parts = [part.get_content() for part in mail.walk() if not part.is_multipart()]
    return "\n".join([*map(str, mail.values()), *parts]).encode() + content


@pytest.mark.slow
def test_no_byte_of_a_letter_reaches_another_person(tmp_path):
    """Each kind, channel and language; an agent's device may read about the agent's own parties.

    A booking's address may read about that booking only, also if an agent has many.
    """
    pair = write_pair(tmp_path)
    people = crowd()
    users = {each["irctcId"] for each in people}
    sent = Counter()

    async def story():
        async with mail_server() as mails, push_service(pair) as pushes, asyncio.timeout(120):
            devices = {user: [pushes.subscribe(user)] for user in users}
            kept = Devices(devices)
            hosts = PushHosts([f"localhost:{pushes.port}"])
            senders = {
                Channel.EMAIL: SmtpMail(
                    f"smtp://127.0.0.1:{mails.port}", "hub@example.org", "https://hub.example"
                ),
                Channel.PUSH: WebPush(
                    ec.generate_private_key(ec.SECP256R1()),
                    kept,
                    "mailto:ops@example.org",
                    hosts,
                    lambda: MORNING,
                    trust=trusting(pair[0]),
                ),
            }
            for language in LANGUAGES:
                for person in people:
                    await tell(person, language, senders, sent)
            for sender in senders.values():
                await sender.close()
        return mails.envelopes, pushes.messages

    envelopes, messages = asyncio.run(story())
    assert len(envelopes) == sum(n for (channel, _), n in sent.items() if channel == "EMAIL")
    assert len(messages) == sum(n for (channel, _), n in sent.items() if channel == "PUSH")
    for kind in KINDS:
        for channel in kind.channels:
            assert sent[channel, kind.name], f"no {kind.name} went over {channel}"
    found = defaultdict(set)
    for envelope, _ in envelopes:
        (address,) = envelope.rcpt_tos
        own = [each for each in people if each["email"] == address]
        assert len(own) == 1
        found["EMAIL"] |= check(text_of(envelope.content), own, people)
    for user, message in messages:
        own = [each for each in people if each["irctcId"] == user]
        found["PUSH"] |= check(str(message).encode(), own, people)
    names = {each["name"] for each in people}
    assert names <= found["EMAIL"], "the words that are searched for do exist"
    assert names <= found["PUSH"]


class Devices:
    """Holds the devices of all users."""

    def __init__(self, kept):
        self._kept = kept

    def devices(self, user):
        return self._kept[user]

    async def remove_device(self, user, endpoint):
        raise AssertionError("the service has refused a device")


async def tell(person, language, senders, sent):
    """Send all that each kind has to say about a person, over all channels."""
    driver = Driver(*crowd())
    driver.start()
    letters = Letters(lambda _: Preferences(language=language), escalation=Escalation(0, 0))
    for channel, sender in senders.items():
        queue = Notifications(
            sender,
            lambda record, channel=channel: letters.plan(driver.state, record, [channel]),
            KeptJobs(),
            lambda: MORNING,
            told=lambda what: (
                sent.update([(what.notification.channel, what.notification.kind)])
                if what.outcome == "SENT"
                else None
            ),
        )
        for seq, event in enumerate(events_about(person, driver), start=1):
            queue.accept([Record(seq, RUN, seq, event)])
            await queue.drain()
        assert queue.depth == 0
        await queue.close()


def check(text, own, people):
    """Fail if a text has a word of another booking; return the own words that are in it."""
    mine = set().union(*map(words_of, own)) | {secret(each) for each in own}
    others = [each for each in people if each not in own]
    # What is announced to a user goes to all bookings of that user.
    users = {each["irctcId"] for each in own}
    foreign = set().union(*map(words_of, others)) - users
    foreign |= {secret(each) for each in others if each["irctcId"] not in users}
    assert not words_in(text, foreign - mine), f"at {own[0]['email']}"
    return words_in(text, mine)
