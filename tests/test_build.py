"""trainhub/build.py: a hub of given parts, all of whose followers get every record."""

import pytest
from built import build_of_fakes
from callers import ADMIN, TTE, running
from fakes import Ear, MemoryJournal, Postbox
from railway import MORNING, RUN, TRAIN, register

from trainhub.build import FLUSHED, NOTIFIED
from trainhub.core.audience import Standing
from trainhub.core.notifications import Channel, Outcome
from trainhub.domain import commands as c
from trainhub.domain.model import Role


@pytest.fixture
def built(io_loop):
    return build_of_fakes()


@pytest.mark.gen_test
async def test_every_follower_takes_its_turn_and_finishes(built):
    """A record that was in the journal before they follow reaches each of them."""
    await built.hub.execute(register(), ADMIN)
    built.follow()
    assert {NOTIFIED, FLUSHED} <= {each.name for each in built.followers}
    for each in built.followers:
        await each.turn()
        await each.finish()
        await each.close()
    assert {each.reader.done for each in built.followers} == {1}
    assert built.write_buffer.depth == 0


@pytest.mark.gen_test
async def test_the_followers_places_are_kept_and_bound_what_is_trimmed(built):
    """The journal keeps each record until every follower has dealt with it."""
    built.follow()
    await built.hub.execute(register(), ADMIN)
    followers = {each.name: each for each in built.followers}
    assert {each.name for each in built.hub.readers} == {"delivered", *followers}
    await followers[NOTIFIED].finish()
    await built.hub.save_places()
    assert (followers[NOTIFIED].reader.saved, followers[FLUSHED].reader.saved) == (1, 0)


@pytest.mark.gen_test
async def test_what_became_of_a_letter_is_in_the_log_with_the_place_of_its_queue(io_loop):
    """The commit has both, so no crash comes between them; the next hub goes on from there."""
    journal, box = MemoryJournal(), Postbox()
    built = build_of_fakes(journal=journal, sender=box)
    built.follow()
    mail = next(each for each in built.followers if each.name == NOTIFIED)
    state = await running(built.hub)
    await built.hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), TTE)
    commits = []
    commit, journal.commit = journal.commit, lambda batch: (commits.append(batch), commit(batch))[1]
    await mail.turn()
    await mail.finish()
    await built.hub.save_places()
    (noting,) = [each for each in commits if each.records]
    ((record,), places) = noting.records, {each.reader: each for each in noting.places}
    assert not record.in_stream
    (way,) = record.event.ways
    assert (way.outcome, way.user) == (Outcome.SENT, "IR_1")
    assert places[NOTIFIED].position == state.seq

    again = build_of_fakes(journal=journal, sender=Postbox())
    await again.hub.upkeep.load()
    standing = Standing(Role.PASSENGER, "IR_1")
    await again.hub.acknowledge(again.hub.state(RUN), way.event, standing, Ear())
    (seen,) = again.hub.ledger.take_news(MORNING).ways
    assert (seen.id, seen.sent_at, seen.seen_at) == (way.id, way.sent_at, MORNING)


@pytest.mark.gen_test
async def test_what_a_socket_has_acknowledged_needs_no_letter(io_loop):
    """The letters of an event wait for a passenger's socket, and its ACK cancels them."""
    box, ear, standing = Postbox(), Ear(), Standing(Role.PASSENGER, "IR_1")
    built = build_of_fakes(sender=box)
    built.follow()
    hub, state = built.hub, await running(built.hub)
    hub.rooms.join(RUN, ear, standing)
    await hub.execute(c.MarkNoShow(**TRAIN, pnr="4512345601", index=1), TTE)
    for each in built.queues.values():
        await each.drain()
    waiting = {channel: queue.depth for channel, queue in built.queues.items()}
    assert (waiting, box.jobs) == (dict.fromkeys(Channel, 1), [])
    (message,) = [each for write in ear.writes for each in write if each.get("ack")]
    assert message["type"] == "NO_SHOW"
    await hub.acknowledge(state, message["seq"], standing, ear)
    assert not any(queue.depth for queue in built.queues.values())
    ways = hub.ledger.take_news(MORNING).ways
    assert {each.channel: (each.outcome, each.seen_at) for each in ways} == dict.fromkeys(
        Channel, (Outcome.CANCELLED, MORNING)
    )
