"""trainhub/hub/snapshots.py: frames that joiners share are made once, and read the same."""

import json

import pytest
from callers import ADMIN, PASSENGER, TTE, join, running
from fakes import Ear
from railway import RUN

from trainhub.access.identity import ANONYMOUS
from trainhub.core.deflate import inflate
from trainhub.domain import commands as c
from trainhub.domain.views import run_view
from trainhub.hub import snapshots


class Frames:
    """A recorder of payloads, and of whether each was compressed."""

    def __init__(self):
        self.made = []

    def __call__(self, payload, *, deflated=False):
        self.made.append((payload, deflated))
        return payload


@pytest.mark.gen_test
@pytest.mark.parametrize("window", [0, 9, 15])
async def test_a_snapshot_is_the_run_as_its_reader_may_see_it(make_hub, window):
    """A SNAPSHOT of shared parts equals the view, with and without compression."""
    hub = make_hub()
    state = await running(hub)
    framed = hub.rooms._frame = Frames()
    made = snapshots.Snapshots(hub.epoch, hub.rooms)
    for identity in (ANONYMOUS, PASSENGER, TTE, ADMIN, PASSENGER, ANONYMOUS, TTE):
        standing = identity.standing(RUN)
        frames = made.frames(state, standing, hub.epoch, window)
        payload, deflated = next(each for each in framed.made if each[0] is frames)
        assert deflated is bool(window)
        snapshot = json.loads(inflate(payload, 1 << 20) if deflated else payload)
        assert snapshot["type"] == "SNAPSHOT"
        assert snapshot["run"] == run_view(state, standing.role, standing.user)
        assert (snapshot["seq"], snapshot["epoch"]) == (state.seq, hub.epoch)


@pytest.mark.gen_test
async def test_a_snapshot_is_made_once_for_a_storm_of_joiners(make_hub, monkeypatch):
    """A SNAPSHOT is made once for each seq and window."""
    hub = make_hub()
    state = await running(hub)
    made, people = [], []
    common, private = snapshots.common_view, snapshots.private_view
    monkeypatch.setattr(snapshots, "common_view", lambda s: made.append(s.seq) or common(s))
    monkeypatch.setattr(
        snapshots, "private_view", lambda s, *who: people.append(who) or private(s, *who)
    )
    for identity in (ANONYMOUS, TTE, PASSENGER) * 20:
        await join(hub, Ear(), identity)
    assert made == [2]
    assert len([who for who in people if who[0] == "TTE"]) == 1
    frames = [
        hub.subscriptions._snapshots.frames(state, TTE.standing(RUN), hub.epoch, 0)
        for _ in range(5)
    ]
    assert all(each is frames[0] for each in frames)
    await hub.execute(c.Announce(train_no="12345", text="x"), ADMIN)
    await join(hub, Ear(), TTE)
    assert made == [2, 3]
    await hub.send_figures()
    assert hub.subscriptions._snapshots._shared == {}
