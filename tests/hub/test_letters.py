"""trainhub/hub/letters.py: each letter goes to its own booking, and promises what the rules
give.
"""

import re
from dataclasses import fields, replace
from datetime import datetime, timedelta
from email import message_from_bytes
from email.policy import SMTP

import pytest
from fakes import KeptJobs, Postbox
from load import asker
from marked import marked, marked_rac, marked_wl, words_in, words_of
from railway import MORNING, PEOPLE, RUN, TRAIN, Driver, chart, person, rac
from voyage import to_its_end, voyages
from waiting import wait_for

from trainhub.core.contacts import Preferences
from trainhub.core.errors import Conflict
from trainhub.core.journal import Record
from trainhub.core.notifications import Channel, Notifications, Plan, Urgency
from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.errors import OfferClosed
from trainhub.domain.model import AlightReason, BlockReason, Level, PersonState
from trainhub.hub.letters import KINDS, Escalation, Letters
from trainhub.hub.protocol import read_command

AGENT = "AGENT_zq"
TOLD = {e.NoShow, e.NoShowUndone, e.TrainCancelled, e.UpgradeOffer, e.UpgradeConfirmed}
OFTEN_TOLD = {e.UpgradeClosed, e.StationSkipped, e.DelayUpdate, e.StationArrival}
OFTEN_TOLD |= {e.TrainReinstated, e.SkipUndone, e.ShortTerminated}
OFTEN_TOLD |= {e.StationDeparture, e.PlatformChange, e.Announcement, e.BerthLost}
OFTEN_TOLD |= {e.BookingChanged}
OFTEN_TOLD |= {e.BerthAllotted}


def jobs(state, record, **options):
    return list(Letters(**options).plan(state, record).notifications)


def jobs_of(driver):
    """The jobs of each of a run's events, as (type, jobs)."""
    return [
        (type(event), list(jobs(driver.state, Record(100 + seq, RUN, seq, event))))
        for seq, event in enumerate(driver.events, start=1)
    ]


def sent(driver, *kinds):
    """The jobs of a run's events of these types, in order."""
    return [each for kind, those in jobs_of(driver) if kind in (kinds or TOLD) for each in those]


def to_whom(made):
    return sorted((each.channel.value, each.to) for each in made)


def give(driver, kind, who, index=1, **more):
    return driver.give(kind(**TRAIN, pnr=f"45123456{who:02}", index=index, **more))


# --- which events are told ------------------------------------------------------------------


def test_what_is_told_by_mail_and_push():
    """What a person must act on or plan by; no other event makes a letter."""
    made = [each for driver in voyages() for each in jobs_of(driver)]
    told = {kind for kind, those in made if those}
    assert TOLD <= told <= TOLD | OFTEN_TOLD


def test_the_same_record_makes_the_same_jobs():
    """Ids and words hold over a restart, so that a job sent twice can be known; ids are unique."""
    driver = Driver(*PEOPLE)
    driver.start()
    driver.no_show(1)
    driver.undo(1)
    driver.no_show(1)
    first = sent(driver)
    driver.go_to("CCC")
    again = sent(driver)
    assert again == first
    assert len({each.id for each in first}) == len(first) == 6
    assert re.fullmatch("12345_2026-11-23_3-[0-9a-f]{16}-push", first[1].id)
    assert re.fullmatch("12345_2026-11-23_3-[0-9a-f]{16}-email", first[0].id)
    assert first[0].position == 103


def test_a_cancelling_makes_the_same_jobs_before_and_after_those_aboard_have_alighted():
    """A restart may read the record when the run's state has gone on."""
    driver = party_of_all_states()
    driver.give(c.CancelTrain(**TRAIN))
    (cancelled,) = [each for each in driver.events if isinstance(each, e.TrainCancelled)]
    after = list(jobs(driver.state, Record(1, RUN, 1, cancelled)))
    driver = party_of_all_states()
    driver.state.evolve(cancelled)
    assert list(jobs(driver.state, Record(1, RUN, 1, cancelled))) == after
    assert len(after) == 4


# --- recipients ---------------------------------------------------------------------------------


@pytest.mark.parametrize("who", [1, 2])
def test_an_agent_s_parties_are_told_each_at_its_own_address(who):
    """One user booked both: the mail goes to the party that did not turn up, the push to the user.

    The address belongs to the booking, not to the user who made it.
    """
    driver = Driver(person(1, irctcId="AGENT7"), person(2, irctcId="AGENT7"))
    driver.start()
    driver.no_show(who)
    made = sent(driver)
    assert to_whom(made) == [("EMAIL", f"person{who}@example.org"), ("PUSH", "AGENT7")]
    assert all(f"Person {who} (berth S1-{who})" in each.body for each in made)


def test_a_booking_without_an_address_is_told_by_push_alone():
    """Another booking's address is not taken, though the same user made that booking."""
    driver = Driver(person(1, irctcId="AGENT7"), person(2, irctcId="AGENT7", email=None))
    driver.start()
    driver.no_show(2)
    assert to_whom(sent(driver)) == [("PUSH", "AGENT7")]


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"email": None}, ["person1@example.org"]),
        ({}, ["person2@example.org"]),
        ({"email": None, "irctcId": "IR_other"}, []),
    ],
)
def test_a_party_on_one_pnr_shares_its_address(fields, told):
    """A child without an address is written to at that of the PNR, never at another user's."""
    family = {"irctcId": "IR_1", "pnr": "4512345601"}
    driver = Driver(person(1, **family), person(2, **{**family, "index": 2, **fields}))
    driver.start()
    give(driver, c.MarkNoShow, 1, index=2)
    assert [each.to for each in sent(driver) if each.channel is Channel.EMAIL] == told


def test_a_booking_that_an_amendment_changes_is_told():
    """The letter has the berth, the journey and the status as the chart has them now."""
    driver = Driver(person(1), rac(10, 1))
    fields = {"trainNo": "12345", "source": "CORRECTION"}
    people = [person(1, "BBB", berth=9), rac(10, 2)]
    driver.give(read_command(c.AmendChart, {**fields, "passengers": people}))
    made = sent(driver, e.BookingChanged)
    assert to_whom(made) == [
        *(("EMAIL", "person10@example.org"), ("EMAIL", "person1@example.org")),
        *(("PUSH", "IR_1"), ("PUSH", "IR_10")),
    ]
    assert "Person 1 (berth S1-9) now travels from STATION BBB to STATION EEE" in made[0].body
    assert made[0].body.endswith("with status CNF.")
    assert made[2].body.endswith("with status RAC 2.")


def party_of_all_states():
    """A run at BBB with people in every state, and one of each address and user."""
    people = (
        person(1, "AAA", "BBB"),  # has arrived
        person(2),  # gives up the journey
        person(3),  # does not turn up
        person(4),  # is aboard
        person(5, irctcId="IR_4"),  # booked by the same user, aboard
        person(6, email="Person5@example.org", pnr="4512345605", index=2, irctcId="IR_4"),  # due
        person(7, "CCC", email=None, irctcId="IR_7", berth=8),  # boards further on
        person(9, "AAA", "BBB"),  # due, and the train has passed the destination
    )
    driver = Driver(*people)
    give(driver, c.CancelJourney, 2)
    driver.start()
    for who in (1, 4, 5):
        driver.board(who)
    driver.no_show(3)
    driver.go_to("BBB")
    states = [each.state for each in driver.state.passengers.values()]
    assert {*states} == set(PersonState)
    return driver


def test_a_cancelled_train_is_told_to_those_it_concerns():
    """Those aboard and those due. Nothing to passengers who arrived, cancelled or are NT.

    One mail for each address and one push for each user, whatever the capital letters.
    """
    driver = party_of_all_states()
    driver.give(c.CancelTrain(**TRAIN, reason="a flood."))
    made = sent(driver, e.TrainCancelled)
    assert to_whom(made) == [
        ("EMAIL", "person4@example.org"),
        ("EMAIL", "person5@example.org"),
        ("PUSH", "IR_4"),
        ("PUSH", "IR_7"),
    ]
    assert {each.body for each in made} == {"TEST EXP of 23 November 2026 is cancelled: a flood."}
    assert len({each.id for each in made}) == 4


def test_counter_tickets_do_not_replace_each_other_s_letters():
    """Passengers without a user have letters of their own topics, and no push."""
    driver = Driver(person(1, irctcId=None), person(2, irctcId=None))
    driver.give(c.CancelTrain(**TRAIN))
    made = sent(driver, e.TrainCancelled)
    assert to_whom(made) == [
        ("EMAIL", "person1@example.org"),
        ("EMAIL", "person2@example.org"),
    ]
    assert len({(each.topic, each.user) for each in made}) == 2


def test_a_train_cancelled_before_its_start_is_told_to_all_who_are_due():
    """Each party's address once: three on one PNR are one mail."""
    driver = Driver(
        *(person(who, irctcId="IR_1", pnr="4512345601", index=who) for who in (1, 2)),
        person(3, irctcId="IR_1", pnr="4512345601", index=3, email="person1@example.org"),
        person(4, email=None),
    )
    driver.give(c.CancelTrain(**TRAIN))
    assert to_whom(sent(driver)) == [
        ("EMAIL", "person1@example.org"),
        ("EMAIL", "person2@example.org"),
        ("PUSH", "IR_1"),
        ("PUSH", "IR_4"),
    ]


def test_a_passenger_who_lost_a_berth_is_told_which_and_what_comes_next():
    """The letter takes the place of the no-show's letter."""
    driver = Driver(person(1), rac(10, 1), rac(11, 2), policy="AUTO")
    driver.start()
    driver.board(10)
    driver.board(11)
    unseen = driver.no_show(1)[0]
    lost, _ = driver.board(1)
    first, second = jobs(driver.state, Record(9, RUN, 9, lost))
    assert to_whom([first, second]) == [("EMAIL", "person1@example.org"), ("PUSH", "IR_1")]
    assert first.subject == "Train 12345: your berth is not available"
    assert first.body.startswith("Person 1 (berth S1-1) has lost the berth")
    assert ": it was given to another passenger before." in first.body
    assert "first in turn for the next free berth, STATION AAA to STATION EEE." in first.body
    assert first.topic == jobs(driver.state, Record(1, RUN, 1, unseen))[0].topic
    blocked = c.BlockBerth(**TRAIN, coach="S1", berth=7, reason=BlockReason.BROKEN)
    lost = driver.give(blocked)[1]
    first, _ = jobs(driver.state, Record(10, RUN, 10, lost))
    assert "(berth S1-7) has lost the berth on" in first.body
    assert ": it cannot be used." in first.body


# --- nothing of one booking at another's address --------------------------------------------


def crowd():
    """Marked people, two and two booked by one agent, each with a PNR and an address of its own."""
    agent = {"irctcId": AGENT}
    return [
        marked(1, **agent),
        marked(2, **agent),
        marked_rac(10, 1),
        marked_rac(11, 2) | agent,
        marked_wl(20, 1, **agent),
        marked(3, "BBB", "DDD", email=None, **agent),
    ]


def every_event_of(driver, booking):
    """Each type of event, made about one booking: its own words and no others."""
    made = {type(each): each for voyage in voyages() for each in voyage.events}
    assert made.keys() == e.TYPES.keys()
    own = {
        "pnr": booking["pnr"],
        "index": booking["index"],
        "user": booking["irctcId"],
        "name": booking["name"],
    }
    for event in made.values():
        names = {field.name for field in fields(event)}
        if {"pnr", "index"} <= names:
            yield replace(event, **{name: own[name] for name in own.keys() & names})
        elif not isinstance(event, e.TrainRegistered):
            yield event


@pytest.mark.parametrize("who", range(len(crowd())))
def test_no_byte_of_a_booking_reaches_another_booking_s_address(who):
    """Each type of event, about each booking, on each channel, searched for everyone's marks."""
    people = crowd()
    driver = Driver(*people)
    addresses = {each["email"]: each["pnr"] for each in people if each["email"]}
    own, count = people[who], 0
    foreign = set().union(*(words_of(each) for each in people if each is not own))
    foreign -= {None, own["irctcId"]}
    for event in every_event_of(driver, own):
        for job in jobs(driver.state, Record(1, RUN, 1, event)):
            count += 1
            text = f"{job.subject}\n{job.body}".encode()
            assert not words_in(text, foreign), f"{event} at {job.to}"
            if isinstance(event, e.UserEvent):
                owner = addresses[job.to] if job.channel is Channel.EMAIL else own["pnr"]
                assert owner == own["pnr"]
                assert job.channel is Channel.EMAIL or job.to == own["irctcId"]
    assert count > 4


@pytest.mark.gen_test
async def test_what_is_sent_of_a_whole_day_names_its_own_booking_only():
    """The same, from the rules' own events and through the queue: each mail has its person's name.

    The agent's pushes name the person that each is about, so that the agent can tell.
    """
    people = crowd()
    driver = Driver(*people)
    driver.start()
    for who in (10, 11, 20):
        driver.board(who)
    for who in (1, 2):
        driver.no_show(who)
    for offer in list(driver.state.open_by_berth.values()):
        driver.give(c.AcceptOffer(**TRAIN, offer_id=offer.id))
    driver.give(c.CancelTrain(**TRAIN))
    post = Postbox()
    queue = Notifications(
        post,
        lambda record: Plan(jobs(driver.state, record, escalation=Escalation(0, 0))),
        KeptJobs(),
        lambda: driver.now,
    )
    queue.accept([Record(seq, RUN, seq, each) for seq, each in enumerate(driver.events, start=1)])
    await queue.drain()
    personal = [job for job in post.jobs if "cancelled" not in job.subject]
    assert len(personal) > 8
    for job in personal:
        named = {each["pnr"] for each in people if each["name"] in job.body}
        assert len(named) == 1
        if job.channel is Channel.EMAIL:
            assert named == {each["pnr"] for each in people if each["email"] == job.to}
        else:
            (pnr,) = named
            assert job.to == next(each["irctcId"] for each in people if each["pnr"] == pnr)


@pytest.mark.parametrize("who", [1, 2])
def test_over_a_real_hub_a_party_s_mail_goes_to_its_own_address(start_hub, mongod_options, who):
    """An agent's two parties, as processes and files: one is NT, then the train is cancelled."""
    hub = start_hub(*mongod_options)
    ask, outbox = asker(hub), hub.folder / "outbox"
    people = [person(each, irctcId="AGENT7") for each in (1, 2)]
    ask("/api/trains", chart(*people))
    ask("/api/trains/12345/start", {})
    ask(f"/api/trains/12345/passengers/451234560{who}/1/no-show", {})
    wait_for(lambda: len(list(outbox.glob("*.eml"))) == 1)
    ask("/api/trains/12345/cancel", {})
    wait_for(lambda: len(list(outbox.glob("*.eml"))) == 2)
    mails = [message_from_bytes(path.read_bytes(), policy=SMTP) for path in outbox.glob("*.eml")]
    to = {mail["To"]: mail.get_body(("plain",)).get_content() for mail in mails}
    assert to.keys() == {"person1@example.org", "person2@example.org"}
    told, other = to[f"person{who}@example.org"], to[f"person{3 - who}@example.org"]
    assert f"Person {who} (berth S1-{who})" in told
    assert "is cancelled" in other
    assert "Person" not in other


# --- what the words promise -----------------------------------------------------------------


def moment_in(body):
    """The time that a letter names: with its day and its offset, so that it is one moment."""
    found = re.search(r"(\d\d:\d\d(?::\d\d)?) on (\d{1,2} \w+ \d{4}) \(UTC([+-]\d\d:\d\d)\)", body)
    clock, day, offset = found.groups()
    clock = clock if clock.count(":") == 2 else f"{clock}:00"
    return datetime.strptime(f"{day} {clock} {offset}", "%d %B %Y %H:%M:%S %z")


def test_a_no_show_s_letter_says_what_can_still_be_done():
    """The train and its day, the person and the berth; at once, and no later than the undo."""
    driver = Driver(undoMinutes=30)
    driver.start()
    driver.no_show(1)
    driver.undo(1)
    marked_nt, taken_back = sent(driver)[::2]
    assert marked_nt.subject == "Train 12345: you are marked as not turned up"
    assert marked_nt.body == (
        "The ticket examiner of TEST EXP of 23 November 2026 did not find Person 1 (berth S1-1), "
        "STATION AAA to STATION EEE. "
        "The berth may be given to another passenger at any time from now on. "
        "If Person 1 is on the train, speak to the examiner at once. The examiner can take the "
        "mark back no later than 08:30 on 23 November 2026 (UTC+05:30), unless the berth has been "
        "given to another passenger before."
    )
    without = Driver()
    without.start()
    without.no_show(1)
    assert "can take the mark back, unless the berth" in sent(without)[0].body
    assert taken_back.body == (
        "The mark 'not turned up' for Person 1 (berth S1-1), STATION AAA to STATION EEE "
        "on TEST EXP of "
        "23 November 2026 was taken back."
    )


@pytest.mark.parametrize("seconds", [0, 17])
def test_until_the_time_in_a_no_show_s_letter_the_mark_can_be_taken_back(seconds):
    """At that time, which is in whole minutes, it still can; a minute later it cannot."""
    driver = Driver(person(1), undoMinutes=30)
    driver.start()
    driver.now += timedelta(seconds=seconds)
    driver.no_show(1)
    latest = moment_in(sent(driver)[0].body)
    assert latest.second == 0
    driver.now = latest
    driver.undo(1)
    driver.no_show(1)
    driver.now = moment_in(sent(driver, e.NoShow)[-1].body) + timedelta(minutes=1)
    with pytest.raises(Conflict, match="30 minutes"):
        driver.undo(1)


@pytest.mark.parametrize("policy", ["AUTO", "OFFER"])
def test_a_no_show_s_letter_promises_no_time_for_which_the_berth_is_kept(policy):
    """By the rules it is another's at once, and the mark then stays: the letter says so."""
    driver = Driver(person(1), rac(10, 1), policy=policy)
    driver.start()
    driver.board(10)
    driver.no_show(1)
    for offer in list(driver.state.open_by_berth.values()):
        driver.give(c.AcceptOffer(**TRAIN, offer_id=offer.id))
    with pytest.raises(Conflict, match="given to another"):
        driver.undo(1)
    body = sent(driver, e.NoShow)[0].body
    assert "may be given to another passenger at any time from now on" in body
    assert "unless the berth has been given to another passenger before" in body
    assert "within" not in body


def test_a_passenger_without_a_berth_is_told_of_none():
    """A person on the waiting list: no berth in the words."""
    driver = Driver()
    driver.start()
    driver.no_show(20)
    bodies = [each.body for each in sent(driver)]
    assert len(bodies) == 2
    assert all("find Person 20, STATION AAA to STATION EEE. If" in body for body in bodies)
    assert not any("berth" in body for body in bodies)


def test_every_letter_is_true_until_a_time():
    """An offer until it expires, any other letter for as long as its kind lasts."""
    lasts = {kind.name: kind.lasts for kind in KINDS}
    for driver in voyages():
        for event, (_, made) in zip(driver.events, jobs_of(driver), strict=True):
            for each in made:
                until = event.at + lasts[each.kind]
                is_offer = isinstance(event, e.UpgradeOffer)
                assert each.expires == (event.expires_at if is_offer else until)


# --- when --------------------------------------------------------------------------


def test_an_offer_goes_to_the_socket_first_then_push_then_mail():
    """After 5 seconds a push, after 30 an e-mail, whether or not the user has a socket."""
    (offer, *_) = [each for each in to_its_end().events if isinstance(each, e.UpgradeOffer)]
    made = [each for each in sent(to_its_end()) if each.kind == "OFFER"][:2]
    waits = {each.channel: (each.due - offer.at).total_seconds() for each in made}
    assert waits == {Channel.PUSH: 5.0, Channel.EMAIL: 30.0}
    assert {each.link for each in made} == {f"passenger.html#offer={offer.offer_id}"}
    assert {each.urgency for each in made} == {Urgency.HIGH}


@pytest.mark.parametrize("present", [True, False])
def test_other_letters_wait_only_for_a_socket_that_may_acknowledge(present):
    """Without a socket there is nothing to wait for."""
    driver = Driver(*PEOPLE)
    driver.start()
    driver.no_show(1)
    (event, *_) = [each for each in driver.events if isinstance(each, e.NoShow)]
    record = Record(1, RUN, 1, event)
    made = jobs(driver.state, record, present=lambda run, user: present)
    waits = {each.channel: (each.due - event.at).total_seconds() for each in made}
    assert waits == ({Channel.PUSH: 5, Channel.EMAIL: 30} if present else dict.fromkeys(waits, 0))


def test_an_offer_s_letters_end_with_an_answer_or_an_acknowledgement():
    """What is not sent by then is cancelled, and a mark that is taken back cancels its letter."""
    driver = to_its_end()
    letters = Letters()
    of_mark = (e.NoShowUndone, e.BerthLost)
    kinds = {e.UpgradeDelivered, e.UpgradeConfirmed, e.UpgradeClosed, *of_mark}
    for seq, event in enumerate(driver.events, start=1):
        settled = letters.plan(driver.state, Record(seq, RUN, seq, event)).settled
        if type(event) in kinds and getattr(event, "offer_id", "") is not None:
            ((topic, user),) = settled
            assert user.startswith("IR_")
            if not isinstance(event, of_mark):
                assert topic == event.offer_id
        else:
            assert settled == []


def delayed(minutes):
    """Return a driver whose last event is a delay."""
    driver = Driver(*PEOPLE)
    driver.start()
    driver.give(c.SetDelay(**TRAIN, delay_minutes=minutes))
    return driver


def test_an_event_wants_an_acknowledgement_if_it_may_lead_to_letters():
    """No letter goes out about an event that a socket could not acknowledge."""
    letters, wanted = Letters(), set()
    for driver in (to_its_end(), delayed(5), delayed(20)):
        for seq, event in enumerate(driver.events, start=1):
            record = Record(seq, RUN, seq, event)
            if letters.are_due(record):
                wanted.add(type(event))
            else:
                assert not jobs(driver.state, record)
        letters = Letters()
    assert TOLD - {e.TrainCancelled} < wanted
    assert e.TrainRegistered not in wanted


@pytest.mark.parametrize(("minutes", "wanted"), [(5, False), (20, True)])
def test_a_small_delay_and_small_talk_want_no_acknowledgement(minutes, wanted):
    """Else each stop would bring an answer from each passenger."""
    driver, letters = delayed(minutes), Letters()
    driver.give(c.Announce(**TRAIN, text="Tea is served"))
    news, talk = (Record(seq, RUN, seq, driver.events[seq]) for seq in (-2, -1))
    assert isinstance(news.event, e.DelayUpdate)
    assert letters.are_due(replace(news, seq=8)) is wanted
    assert not letters.are_due(replace(talk, seq=9))


# --- what happens to the train -----------------------------------------------------------------


def kinds_of(driver, event_type, **options):
    """Return (kind, recipients) of the last event of a type."""
    event = [each for each in driver.events if isinstance(each, event_type)][-1]
    made = jobs(driver.state, Record(1, RUN, 1, event), **options)
    return {each.kind for each in made}, to_whom(made), made


def riders():
    """Return a driver with passengers from AAA, from CCC and one who has alighted at BBB."""
    driver = Driver(
        person(1, "AAA", "BBB"), person(2, "AAA", "EEE", berth=2), person(3, "CCC", "EEE", berth=3)
    )
    driver.start()
    driver.board(1)
    driver.board(2)
    driver.go_to("BBB")
    return driver


def test_a_skipped_station_is_told_to_those_who_board_or_alight_there():
    """Passenger 3 boards at CCC; the others only pass it."""
    driver = riders()
    driver.give(c.SkipStation(**TRAIN, station_code="CCC"))
    kinds, to, made = kinds_of(driver, e.StationSkipped)
    assert kinds == {"SKIPPED"}
    assert to == [("EMAIL", "person3@example.org"), ("PUSH", "IR_3")]
    assert "will not stop at STATION CCC" in made[0].body


def test_a_station_that_is_served_after_all_is_told_to_the_same_people():
    """The letter takes the place of the letter about the skip."""
    driver = riders()
    driver.give(c.SkipStation(**TRAIN, station_code="CCC"))
    _, before, skipped = kinds_of(driver, e.StationSkipped)
    driver.give(c.UndoSkip(**TRAIN, station_code="CCC"))
    kinds, to, made = kinds_of(driver, e.SkipUndone)
    assert kinds == {"SKIP_UNDONE"}
    assert to == before
    assert {each.topic for each in made} == {each.topic for each in skipped}
    assert "will stop at STATION CCC after all" in made[0].body


def test_a_reinstated_run_is_told_to_those_who_read_that_it_was_cancelled():
    """The letter takes the place of the letter about the cancellation."""
    driver = riders()
    driver.give(c.CancelTrain(**TRAIN))
    _, before, cancelled = kinds_of(driver, e.TrainCancelled)
    driver.give(c.ReinstateTrain(**TRAIN))
    kinds, to, made = kinds_of(driver, e.TrainReinstated)
    assert kinds == {"TRAIN_REINSTATED"}
    assert to == before
    assert {each.topic for each in made} == {each.topic for each in cancelled}
    assert "is not cancelled: it runs after all" in made[0].body


def test_a_run_that_ends_early_is_told_to_those_who_lose_a_part_of_their_journey():
    """At once, whether the train is there or not, and with the reason. Not to CCC's own."""
    people = person(1), person(2, end="CCC"), person(3, "DDD"), person(4), person(5), person(6)
    for ahead in (True, False):
        driver = Driver(*people)
        driver.start()
        for who in (1, 2, 6):
            driver.board(who)
        driver.no_show(4)
        give(driver, c.CancelJourney, 5)
        give(driver, c.Alight, 6, reason=AlightReason.MEDICAL)
        driver.go_to("BBB" if ahead else "CCC")
        driver.give(c.ShortTerminate(**TRAIN, station_code="CCC", reason="a landslide."))
        kinds, to, made = kinds_of(driver, e.ShortTerminated)
        assert kinds == {"SHORT_TERMINATED"}
        assert {who for channel, who in to if channel == "PUSH"} == {"IR_1", "IR_3"}
        assert "ends at STATION CCC: a landslide. It does not reach" in made[0].body


def test_a_later_start_is_told_to_those_who_would_board_before():
    """The letter says where the train starts."""
    driver = Driver(person(1), person(2, "BBB"), person(3, "CCC"))
    driver.give(c.StartJourney(**TRAIN, station_code="CCC"))
    told = [each for each in sent(driver, e.StationSkipped) if each.channel is Channel.PUSH]
    assert [each.to for each in told] == ["IR_1", "IR_2"]
    assert all("The train starts at STATION CCC." in each.body for each in told)
    assert sent(driver, e.JourneyStarted) == []


@pytest.mark.parametrize(("minutes", "told"), [(14, False), (15, True), (200, True)])
def test_a_delay_over_the_threshold_is_told_to_all_who_travel(minutes, told):
    """Those aboard and those who are still to board; not the passenger who has alighted."""
    driver = riders()
    driver.give(c.SetDelay(**TRAIN, delay_minutes=minutes))
    kinds, to, made = kinds_of(driver, e.DelayUpdate)
    assert kinds == ({"DELAY"} if told else set())
    if told:
        assert {who for channel, who in to if channel == "PUSH"} == {"IR_2", "IR_3"}
        assert f"{minutes} minutes late" in made[0].body


def test_a_delay_is_told_once_a_step():
    """From 15 minutes on each doubling, not each minute; the same record again says the same."""
    driver = riders()
    letters = Letters()
    told = []
    for seq, minutes in enumerate((10, 15, 16, 29, 30, 31, 20, 30, 60), start=1):
        driver.give(c.SetDelay(**TRAIN, delay_minutes=minutes))
        record = Record(seq, RUN, seq, driver.events[-1])
        made = list(letters.plan(driver.state, record).notifications)
        told += [minutes] * bool(made)
        assert list(letters.plan(driver.state, record).notifications) == made
    assert told == [15, 30, 60]


def test_a_platform_is_pushed_to_those_who_board_there_next():
    """A station further on can wait: its platform may change again."""
    driver = riders()
    driver.give(c.SetPlatform(**TRAIN, station_code="CCC", platform="7"))
    kinds, to, made = kinds_of(driver, e.PlatformChange)
    assert (kinds, to) == ({"PLATFORM"}, [("PUSH", "IR_3")])
    assert "platform 7 in STATION CCC" in made[0].body
    driver.give(c.SetPlatform(**TRAIN, station_code="DDD", platform="7"))
    assert kinds_of(driver, e.PlatformChange)[1] == []


def test_an_emergency_is_told_to_all_who_travel_or_to_one_user():
    """Other announcements are for the sockets, and those for the staff reach no passenger."""
    driver = riders()
    for level in (Level.INFO, Level.WARNING):
        driver.give(c.Announce(**TRAIN, text="Tea", level=level))
        assert kinds_of(driver, e.Announcement)[1] == []
    driver.give(c.Announce(**TRAIN, text="Leave S1", level=Level.EMERGENCY))
    kinds, to, made = kinds_of(driver, e.Announcement)
    assert kinds == {"EMERGENCY"}
    assert {who for channel, who in to if channel == "PUSH"} == {"IR_2", "IR_3"}
    assert {each.body for each in made} == {"Leave S1"}
    driver.give(c.Announce(**TRAIN, text="x", level=Level.EMERGENCY, to=c.To.USER, user="IR_3"))
    assert kinds_of(driver, e.Announcement)[1] == [
        *(("EMAIL", "person3@example.org"), ("PUSH", "IR_3"))
    ]
    driver.give(c.Announce(**TRAIN, text="x", level=Level.EMERGENCY, to=c.To.STAFF))
    assert kinds_of(driver, e.Announcement)[1] == []


# --- what the person has chosen ----------------------------------------------------------------


def test_preferences_choose_language_channels_kinds_and_hours():
    """Quiet hours hold back what is not urgent, to their end by the train's clock."""
    driver = riders()
    driver.give(c.SetDelay(**TRAIN, delay_minutes=20))
    plain = kinds_of(driver, e.DelayUpdate)[2]

    def chosen(**fields):
        return kinds_of(driver, e.DelayUpdate, preferences=lambda _: Preferences(**fields))[2]

    assert {each.language for each in chosen(language="hi")} == {"hi"}
    assert "\u0926\u0947\u0930\u0940" in chosen(language="hi")[0].subject
    assert {each.channel for each in chosen(channels=frozenset({Channel.PUSH}))} == {Channel.PUSH}
    assert chosen(muted=frozenset({"DELAY"})) == []
    clock = plain[0].due.astimezone(driver.state.zone)
    begin, end = (clock - timedelta(hours=1)).time(), (clock + timedelta(hours=2)).time()
    quiet = chosen(quiet_from=begin, quiet_to=end)
    assert {each.due - clock.replace(second=0, microsecond=0) for each in quiet} == {
        timedelta(hours=2)
    }


def test_an_offer_and_an_upgrade_name_the_person_and_the_berth():
    """For which passengers, which berth, to where, and until when by the train's clock."""
    driver = to_its_end()
    offer, upgrade = (
        next(each for each in sent(driver, kind) if "Person 11" in each.body)
        for kind in (e.UpgradeOffer, e.UpgradeConfirmed)
    )
    assert offer.subject == "Train 12345: a berth is offered to you"
    assert offer.body == (
        "Berth S1-1 (lower) of TEST EXP of 23 November 2026 is held for Person 11, "
        "to STATION EEE, in place of berth S1-7. Answer "
        "in the app, or tell the ticket examiner, before 08:05 on 23 November 2026 (UTC+05:30): "
        "then the offer ends. It may be withdrawn earlier."
    )
    assert upgrade.subject == "Train 12345: you have berth S1-1"
    assert upgrade.body == (
        "Person 11 now travels confirmed in berth S1-1 of TEST EXP of 23 November 2026, "
        "from STATION AAA to STATION EEE."
    )


@pytest.mark.parametrize("offer_seconds", [40, 300])
def test_before_the_time_in_an_offer_s_letter_it_can_be_answered(offer_seconds):
    """A second before that time it is accepted; at that time it has expired."""
    for early in (timedelta(seconds=1), timedelta()):
        driver = Driver(person(1), rac(10, 1), offerSeconds=offer_seconds)
        driver.start()
        driver.board(10)
        driver.no_show(1)
        (offer,) = driver.state.open_by_berth.values()
        driver.now = moment_in(sent(driver, e.UpgradeOffer)[0].body) - early
        accept = c.AcceptOffer(**TRAIN, offer_id=offer.id)
        if early:
            assert isinstance(driver.give(accept)[0], e.UpgradeConfirmed)
        else:
            with pytest.raises(OfferClosed):
                driver.give(accept)


def test_an_offer_may_be_withdrawn_before_its_time():
    """As its letter says: the no-show comes back, and the berth is theirs again."""
    driver = Driver(person(1), rac(10, 1))
    driver.start()
    driver.board(10)
    driver.no_show(1)
    driver.undo(1)
    assert driver.state.open_by_berth == {}
    assert "It may be withdrawn earlier." in sent(driver, e.UpgradeOffer)[0].body


@pytest.mark.parametrize(
    ("at", "told"),
    [("00:20", "01:50 on 25 October 2026 (UTC+01:00)"),
     ("00:50", "01:20 on 25 October 2026 (UTC+00:00)")],
)  # fmt: skip
def test_times_are_the_train_s_own_and_can_be_told_apart(at, told):
    """In the night in which an hour comes twice, the offset says which one is meant."""
    stations = [
        {"code": "A", "name": "A", "departure": "00:30", "day": 1},
        {"code": "B", "name": "B", "arrival": "03:30", "day": 1},
    ]
    night = {"timezone": "Europe/London", "startDate": "2026-10-25"}
    driver = Driver(person(1, "A", "B"), stations=stations, **night, undoMinutes=30)
    driver.now = datetime.fromisoformat(f"2026-10-25T{at}:00+00:00")
    driver.start()
    driver.no_show(1)
    assert f"no later than {told}" in sent(driver)[0].body
    assert moment_in(told) == driver.now + timedelta(minutes=30)


def test_every_letter_names_the_run_s_day():
    """A run is a number and a day: two of one number may be live at once."""
    for driver in voyages():
        for job in sent(driver):
            assert "23 November 2026" in job.body
            assert job.subject.startswith("Train 12345")
    assert MORNING.day == 23
