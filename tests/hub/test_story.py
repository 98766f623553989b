"""A night with train 12345, in the order in which it happens: what each person sees and is told.

The chart is docs/examples/12345.json, and each person speaks to the hub with a token of their own.
"""

import json
from datetime import UTC, datetime
from pathlib import Path

import pytest
from built import build_of_fakes
from fakes import Clock, Postbox
from talk import TOKENS, Talk

from trainhub.core.notifications import Channel
from trainhub.domain.handover import handover
from trainhub.domain.model import Role, RunKey
from trainhub.domain.report import captaincy_report

CHART = json.loads(
    (Path(__file__).parents[2] / "docs" / "examples" / "12345.json").read_text("utf-8")
)
RUN = RunKey("12345/2026-11-23")

# Of the first chart.
ASHA, RAVI = ({"pnr": "4512345601", "index": place} for place in (1, 2))  # a couple: S1-1, S1-2
IMRAN = {"pnr": "4512345602", "index": 1}  # S1-4, to New Jalpaiguri
MARY = {"pnr": "4512345603", "index": 1}  # RAC 1, half of side lower S1-7
BINA = {"pnr": "4512345604", "index": 1}  # RAC 2, the other half, from Barddhaman
KIRAN = {"pnr": "4512345605", "index": 1}  # WL 1, from Barddhaman
# Of the second chart.
GOPAL = {"pnr": "4512345606", "index": 1}  # S2-1, from Barddhaman
LATA = {"pnr": "4512345607", "index": 1}  # S2-9, to Malda
FARAH = {"pnr": "4512345608", "index": 1}  # B1-1
JOSEPH = {"pnr": "4512345609", "index": 1}  # RAC 1 of 3A, half of side lower B1-7
SLIP = {"pnr": "4512345610", "index": 1}  # by mistake on Imran's berth


def line(person, name, start, end, class_, status, coach, berth, number=None):
    """Return a line of the second chart."""
    user = f"IR_00{person['pnr'][-2:]}"
    booking = {"irctcId": user, "name": name, "from": start, "to": end, "class": class_}
    place = {"status": status, "number": number, "coach": coach, "berth": berth}
    return {**person, **booking, **place, "email": f"{user.lower()}@example.org"}


SECOND_CHART = {
    "source": "SECOND",
    "coaches": [
        {"code": "S2", "class": "SL", "type": "LHB"},
        {"code": "B1", "class": "3A", "type": "LHB"},
    ],
    "passengers": [
        line(KIRAN, "Kiran Gill", "BWN", "GHY", "SL", "RAC", "S2", 7, number=3),
        line(GOPAL, "Gopal Sen", "BWN", "GHY", "SL", "CNF", "S2", 1),
        line(LATA, "Lata Nair", "HWH", "MLDT", "SL", "CNF", "S2", 9),
        line(FARAH, "Farah Ali", "HWH", "GHY", "3A", "CNF", "B1", 1),
        line(JOSEPH, "Joseph Dias", "HWH", "GHY", "3A", "RAC", "B1", 7, number=1),
        line(SLIP, "Nitin Jha", "HWH", "GHY", "SL", "CNF", "S1", 4),
    ],
}


class App(Talk):
    """A person's app, which has the person's token."""

    async def comes(self, user, role, *trains):
        await self.say("IDENTIFY", token=TOKENS.issue(user, role, trains or ["12345"]))
        return self

    async def opens(self):
        await self.say("SUBSCRIBE_TRAIN", trainNo="12345")
        self.news()
        return self

    async def does(self, kind, **fields):
        """Give a command, which succeeds. Returns its result."""
        answer = await self._answer(kind, "DONE", **fields)
        return answer["result"]

    async def is_refused(self, kind, **fields):
        """Give a command, which fails. Returns what the person is told."""
        answer = await self._answer(kind, "ERROR", **fields)
        return answer["message"]

    async def _answer(self, kind, expected, **fields):
        heard = await self.say(kind, **{"trainNo": "12345"} | fields)
        (answer,) = [each for each in heard if each["type"] in ("DONE", "ERROR", "SNAPSHOT")]
        assert answer["type"] == expected, answer
        return answer

    async def answers(self, kind, offer):
        return await self.does(kind, offerId=offer["offerId"])

    async def sees(self):
        """Return the train as the person's app shows it, after opening it again."""
        answer = await self._answer("SUBSCRIBE_TRAIN", "SNAPSHOT")
        return answer["run"]

    async def finds(self, person):
        """Return where the app shows a passenger: status, state, and berth."""
        rows = (await self.sees())["passengers"]
        (row,) = [each for each in rows if {name: each[name] for name in person} == person]
        return row["status"], row["state"], row["coach"] and f"{row['coach']}-{row['berth']}"

    def news(self):
        """Return the events that the app has shown since the last call, as (type, data)."""
        new = [each for each in self.ear.heard if "data" in each and "seq" in each]
        self.ear.writes.clear()
        return [(each["type"], each["data"]) for each in new]

    def hears(self, kind):
        """Return the data of the only news of that type since the last call of `news`."""
        (data,) = [data for what, data in self.news() if what == kind]
        return data


class Night:
    """The hub, its clock, and the e-mails that it has sent."""

    def __init__(self):
        self.clock, self.post = Clock(), Postbox()
        self.built = build_of_fakes(clock=self.clock, sender=self.post)
        self.built.follow()
        self.hub = self.built.hub

    def at(self, text, day=23):
        """Set the clock, which has the train's time."""
        here = datetime.fromisoformat(f"2026-11-{day}T{text}:00+05:30")
        self.clock.now = here.astimezone(UTC)

    async def comes(self, user, role, *trains):
        return await App(self.hub).comes(user, role, *trains)

    async def mails(self, address):
        """Return the subjects of the e-mails to an address since the last call.

        An open app is told first, so here only those without one get e-mails.
        """
        await self.built.queues[Channel.EMAIL].drain()
        found = [each for each in self.post.jobs if each.to == address]
        self.post.jobs[:] = [each for each in self.post.jobs if each not in found]
        return [each.subject for each in found]


@pytest.mark.gen_test
async def test_a_night_with_the_saraighat_express(io_loop):
    """The train grows, a latecomer finds the berth gone, and the journey ends before Guwahati."""
    night = Night()

    # 15:00. The control room loads the first chart: one coach, six passengers.
    night.at("15:00")
    control = await night.comes("control", Role.ADMIN, "*")
    assert (await control.does("REGISTER_TRAIN", **CHART))["passengers"] == 6
    asha = await (await night.comes("IR_0001", Role.PASSENGER)).opens()
    mary = await (await night.comes("IR_0003", Role.PASSENGER)).opens()
    assert await mary.finds(MARY) == ("RAC", "DUE", "S1-7")

    # 15:20. The second chart: two more coaches, five more passengers, and Kiran is on RAC now.
    # One line has a berth that is Imran's. It alone is left out, and the answer says why.
    night.at("15:20")
    (slip,) = (await control.does("AMEND_CHART", **SECOND_CHART))["rejected"]
    assert (slip["pnr"], slip["reason"]) == (
        SLIP["pnr"],
        "berth S1-4 is taken on that part of the way: give another berth",
    )
    assert await night.mails("ir_0005@example.org") == [
        "Train 12345: the booking on the chart has changed"
    ]

    # 15:30. Three examiners report for duty, each with a coach.
    night.at("15:30")
    roy, sen, paul = [
        await (await night.comes(name, Role.TTE)).opens() for name in ("ROY", "SEN", "PAUL")
    ]
    for tte, coach in ((roy, "S1"), (sen, "S2"), (paul, "B1")):
        await tte.does("SIGN_ON", coaches=[coach])
    assert [(row["coach"], row["tte"]) for row in (await roy.sees())["duty"]] == [
        ("S1", "ROY"),
        ("S2", "SEN"),
        ("B1", "PAUL"),
    ]

    # 15:50. Howrah. Ravi is still at the tea stall when the train leaves on time.
    night.at("15:50")
    await control.does("START_JOURNEY")
    assert (await control.does("DEPART", stationCode="HWH"))["delayMinutes"] == 0

    # 16:00. The examiners check their coaches. Ravi's berth is empty, and it is Mary's turn.
    night.at("16:00")
    for passenger in (asha, mary):
        passenger.news()
    marks = [{"mark": "BOARDED", **each} for each in (ASHA, IMRAN, MARY)]
    await roy.does("BATCH", marks=marks)
    await sen.does("MARK_BOARDED", **LATA)
    await paul.does("MARK_BOARDED", **FARAH)
    await roy.does("MARK_NO_SHOW", **RAVI)
    await roy.does("CHECK_COACH", coach="S1")
    assert asha.hears("NO_SHOW")["name"] == "Ravi Rao"
    offer = mary.hears("UPGRADE_OFFER")
    assert (offer["coach"], offer["berth"], offer["berthType"]) == ("S1", 2, "MIDDLE")

    # 16:02. Mary accepts on her phone.
    night.at("16:02")
    await mary.answers("ACCEPT_OFFER", offer)
    assert mary.hears("UPGRADE_CONFIRMED")["oldBerth"] == 7
    assert await roy.finds(MARY) == ("CNF", "ABOARD", "S1-2")

    # 16:10. Ravi had jumped into S2, where Sen meets him. The berth is Mary's and stays hers.
    # Ravi is aboard, without a berth, and first in turn. Asha, who booked for both, is told.
    night.at("16:10")
    asha.news()
    told = await sen.is_refused("UNDO_NO_SHOW", **RAVI)
    assert told.startswith("berth S1-2 was given to another passenger: MARK_BOARDED takes this one")
    await sen.does("MARK_BOARDED", **RAVI)
    assert asha.hears("BERTH_LOST")["name"] == "Ravi Rao"
    assert await sen.finds(RAVI) == ("CNF", "ABOARD", None)
    assert await sen.finds(MARY) == ("CNF", "ABOARD", "S1-2")
    assert [row["name"] for row in handover(night.hub.state(RUN))["lateClaimants"]] == ["Ravi Rao"]

    # 17:04. Barddhaman. Bina finds the side lower without Mary, and it can be hers alone.
    # She has no app: she says yes to Roy.
    night.at("17:04")
    await control.does("ARRIVE", stationCode="BWN")
    roy.news()
    await roy.does("MARK_BOARDED", **BINA)
    offer = roy.hears("UPGRADE_PENDING")
    assert (offer["name"], offer["coach"], offer["berth"]) == ("Bina Das", "S1", 7)
    await roy.answers("ACCEPT_OFFER", offer)
    assert "Train 12345: you have berth S1-7" in await night.mails("ir_0004@example.org")
    await control.does("DEPART", stationCode="BWN")

    # 17:15. Gopal has not come to S2-1. Ravi is asked before RAC 3: Asha's phone rings. She wants
    # him near her and says no. So Kiran is next.
    night.at("17:15")
    await sen.does("MARK_BOARDED", **KIRAN)
    asha.news()
    await sen.does("MARK_NO_SHOW", **GOPAL)
    offer = asha.hears("UPGRADE_OFFER")
    assert (offer["pnr"], offer["index"], offer["coach"], offer["berth"]) == (
        *RAVI.values(),
        "S2",
        1,
    )
    sen.news()
    await asha.answers("DENY_OFFER", offer)
    offer = sen.hears("UPGRADE_PENDING")
    assert (offer["name"], offer["berth"]) == ("Kiran Gill", 1)
    assert [(each["outcome"], each["pnr"]) for each in offer["reason"]] == [
        ("had an offer of this berth before", RAVI["pnr"]),
        ("chosen", KIRAN["pnr"]),
    ]
    await sen.answers("ACCEPT_OFFER", offer)
    assert await sen.finds(KIRAN) == ("CNF", "ABOARD", "S2-1")

    # 17:18. The side lower that Kiran has left is on offer to Ravi. But the upper berth above
    # Mary's was booked by no one, and Roy gives it to him instead.
    night.at("17:18")
    upper = {"coach": "S1", "berth": 3, "reason": "FAMILY", "note": "near his wife"}
    told = await roy.is_refused("ALLOT_BERTH", **RAVI, **upper)
    assert told == "the passenger has an open offer: withdraw it first"
    offer = asha.hears("UPGRADE_OFFER")
    assert (offer["coach"], offer["berth"], offer["berthType"]) == ("S2", 7, "SIDE_LOWER")
    await roy.answers("WITHDRAW_OFFER", offer)
    await roy.does("ALLOT_BERTH", **RAVI, **upper)
    assert asha.hears("BERTH_ALLOTTED")["berth"] == 3
    assert await roy.finds(RAVI) == ("CNF", "ABOARD", "S1-3")
    assert await asha.finds(RAVI) == ("CNF", "ABOARD", "S1-3")

    # 21:20. Malda. Lata alights. Sen's duty ends here, and Paul has two coaches from now on.
    night.at("21:20")
    await control.does("ARRIVE", stationCode="MLDT")
    assert await sen.finds(LATA) == ("CNF", "ALIGHTED", "S2-9")
    await sen.does("REMARK", coach="S2", text="no water from Barddhaman on")
    await sen.does("SIGN_OFF")
    await paul.does("SIGN_ON", coaches=["S2", "B1"])
    night.at("21:30")
    await control.does("DEPART", stationCode="MLDT")

    # 23:00. Beyond New Jalpaiguri the line is under water. All aboard are told, also those who
    # sleep: Imran alights there anyway and gets no e-mail.
    night.at("23:00")
    for address in ("ir_0002@example.org", "ir_0004@example.org", "ir_0007@example.org"):
        await night.mails(address)
    mary.news()
    await control.does("SHORT_TERMINATE", stationCode="NJP", reason="the line is under water")
    assert mary.hears("SHORT_TERMINATED")["notServed"] == ["GHY"]
    assert await night.mails("ir_0004@example.org") == ["Train 12345 ends at NEW JALPAIGURI"]
    assert await night.mails("ir_0002@example.org") == []
    assert await night.mails("ir_0007@example.org") == []

    # 01:30. New Jalpaiguri. The run is completed, not cancelled, and the staff hand in the report.
    night.at("01:30", day=24)
    await control.does("ARRIVE", stationCode="NJP")
    assert (await mary.sees())["status"] == "COMPLETED"
    assert await mary.finds(MARY) == ("CNF", "ALIGHTED", "S1-2")
    report = captaincy_report(night.hub.state(RUN))
    s1, s2, b1 = report["coaches"]

    def names(rows):
        return [row["name"] for row in rows]

    assert (report["status"], report["terminus"]) == ("COMPLETED", "NJP")
    # Ravi came after all. Gopal did not. No examiner marked Joseph.
    assert (names(s1["noShows"]), names(s2["noShows"])) == ([], ["Gopal Sen"])
    assert (names(s1["unchecked"]), names(b1["unchecked"])) == ([], ["Joseph Dias"])
    assert [(row["name"], row["berth"], row["cause"]) for row in s1["upgrades"]] == [
        ("Mary Thomas", 2, "NO_SHOW"),
        ("Bina Das", 7, "UPGRADED"),
    ]
    assert [(row["name"], row["berth"], row["cause"]) for row in s2["upgrades"]] == [
        ("Kiran Gill", 1, "NO_SHOW")
    ]
    (given,) = s1["allotments"]
    assert (given["name"], given["allottedFor"], given["note"]) == (
        "Ravi Rao",
        "FAMILY",
        "near his wife",
    )
    assert {
        (row["berth"], row["from"], row["to"]) for row in s2["vacant"] if row["berth"] in (7, 9)
    } == {
        (7, "HWH", "BWN"),
        (7, "BWN", "NJP"),
        (9, "MLDT", "NJP"),
    }
    # All with a ticket to Guwahati were not brought there, wherever they sat.
    assert names(report["notServed"]) == [
        *("Asha Rao", "Ravi Rao", "Mary Thomas", "Bina Das", "Kiran Gill"),
        *("Farah Ali", "Joseph Dias"),
    ]
    assert [(each["station"], each["tte"], each["text"]) for each in report["remarks"]] == [
        ("MLDT", "SEN", "no water from Barddhaman on")
    ]
    assert [(row["coach"], row["tte"]) for row in (await paul.sees())["duty"]] == [
        ("S1", "ROY"),
        ("S2", "PAUL"),
        ("B1", "PAUL"),
    ]
