"""trainhub/core/presence.py: who is online, as a figure; a tunnel is no news."""

import pytest
from railway import RUN

from trainhub.core.audience import Standing
from trainhub.core.presence import GRACE_SECONDS, Presence
from trainhub.domain.model import Role
from trainhub.hub.train_rooms import socket_counts

TTE, OTHER_TTE = Standing(Role.TTE, "T1"), Standing(Role.TTE, "T2")
PASSENGER, ANONYMOUS = Standing(Role.PASSENGER, "IR_1"), Standing()


class Room:
    """A room of standings, with the presence that hears of it, and a clock to be moved."""

    def __init__(self):
        self.now = 0.0
        self.presence = Presence(socket_counts, {"ttes": Role.TTE}, lambda: self.now)
        self.there = []

    def come(self, standing):
        self.there.append(standing)
        self.presence.came(RUN, standing)

    def go(self, standing, lost=True):
        self.there.remove(standing)
        self.presence.went(RUN, standing, lost=lost)

    def news(self):
        return self.presence.news(lambda run: self.there).get(RUN)


@pytest.fixture
def room():
    return Room()


def sockets(total, passengers=0, ttes=0, admins=0, others=0):
    counts = {"passengers": passengers, "ttes": ttes, "admins": admins, "others": others}
    return {"total": total, **counts}


def test_sockets_by_role_and_each_tte_once(room):
    """A TTE with two devices is one TTE on two sockets."""
    for each in (TTE, TTE, OTHER_TTE, PASSENGER, ANONYMOUS):
        room.come(each)
    assert room.news() == {"ttes": 2, "sockets": sockets(5, passengers=1, ttes=3, others=1)}


def test_no_news_is_not_told_again(room):
    """Only a figure that has changed is news."""
    room.come(TTE)
    assert room.news()
    assert room.news() is None
    room.come(PASSENGER)
    room.go(PASSENGER, lost=False)
    assert room.news() is None


def test_a_tunnel_is_no_news(room):
    """Who is lost is counted for a while, and coming back changes nothing."""
    for each in (TTE, PASSENGER, ANONYMOUS):
        room.come(each)
    room.news()
    for each in (TTE, PASSENGER, ANONYMOUS):
        room.go(each)
    room.now += GRACE_SECONDS - 1
    assert room.news() is None
    for each in (TTE, PASSENGER, ANONYMOUS):
        room.come(each)
    room.now += 2 * GRACE_SECONDS
    assert room.news() is None


def test_who_stays_away_is_news_in_the_end(room):
    """After the grace the figure says that they are gone."""
    for each in (TTE, PASSENGER):
        room.come(each)
    room.news()
    room.go(TTE)
    room.now += GRACE_SECONDS
    assert room.news() == {"ttes": 0, "sockets": sockets(1, passengers=1)}


def test_who_leaves_of_their_own_will_is_gone_at_once(room):
    """A socket that unsubscribed or changed its user does not count as lost."""
    for each in (TTE, PASSENGER):
        room.come(each)
    room.news()
    room.go(TTE, lost=False)
    assert room.news()["ttes"] == 0


def test_one_of_two_devices_that_is_lost_comes_back_as_one(room):
    """Each socket that joins replaces one lost socket of the same user."""
    for each in (TTE, TTE):
        room.come(each)
    room.news()
    room.go(TTE)
    room.go(TTE)
    room.come(TTE)
    assert room.news() is None  # one is there, one is still waited for
    room.now += GRACE_SECONDS
    assert room.news() == {"ttes": 1, "sockets": sockets(1, ttes=1)}


def test_nothing_is_left_of_those_who_are_gone(room):
    """No index grows without bound, whether the run is over or goes on."""
    for lost in (True, False):
        room.come(TTE)
        room.news()
        room.go(TTE, lost=lost)
        room.now += GRACE_SECONDS
        room.news()
        assert (room.presence._lost, room.presence._told, room.presence._news) == ({}, {}, set())
    room.come(TTE)
    room.news()
    room.go(TTE)
    room.presence.close(RUN)
    assert (room.presence._lost, room.presence._told, room.presence._news) == ({}, {}, set())
