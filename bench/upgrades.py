"""Measure the rules on a full train: matching, look-ups, a whole run, and the size of the state.

    python bench/upgrades.py

A train of 24 sleeper coaches and 40 stations, 1,700 passengers, 200 of them on RAC. Times are of
this machine and this run; compare only their ratios.
"""

import statistics
import sys
import time
import tracemalloc
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[1]))

from trainhub.domain import commands as c
from trainhub.domain import events as e
from trainhub.domain.chart import read_chart
from trainhub.domain.model import Chart, run_key
from trainhub.domain.train import TrainState

TRAIN = {"train_no": "12345"}
STATIONS, COACHES, PASSENGERS, RAC = 40, 24, 1_700, 200
EVENING = datetime(2026, 11, 23, 12, 0, tzinfo=UTC)


def full_train() -> Chart:
    """Make passengers. All travel from end to end, except the RAC passengers."""
    berths = [(f"S{k}", b) for k in range(1, COACHES + 1) for b in range(1, 73)]
    side_lowers = [each for each in berths if each[1] % 8 == 7][: RAC // 2]
    whole = [each for each in berths if each not in set(side_lowers)][: PASSENGERS - RAC]
    people = [_person(n, "CNF", None, *berth, 39) for n, berth in enumerate(whole)]
    people += [
        _person(5_000 + n, "RAC", n + 1, *side_lowers[n // 2], 39 - n % 5) for n in range(RAC)
    ]
    raw = {
        "trainNo": "12345",
        "trainName": "FULL EXP",
        "startDate": "2026-11-23",
        "stations": [_station(n) for n in range(STATIONS)],
        "coaches": [{"code": f"S{k}", "class": "SL", "berths": 72} for k in range(1, COACHES + 1)],
        "passengers": people,
    }
    chart, rejected, _ = read_chart(raw)
    assert not rejected
    return chart


def _station(n: int) -> dict[str, Any]:
    """Make stations every 25 minutes and 25 km, from 17:30 on."""
    return {
        "code": f"S{n:02}",
        "name": f"STATION {n}",
        "arrival": _time(n, 0) if n else None,
        "departure": _time(n, 2) if n < STATIONS - 1 else None,
        "day": 1 + (17 * 60 + 30 + 25 * n) // 1440,
        "distanceKm": 25 * n,
    }


def _time(station: int, minutes: int) -> str:
    total = (17 * 60 + 30 + 25 * station + minutes) % 1440
    return f"{total // 60:02}:{total % 60:02}"


def _person(
    n: int, status: str, number: int | None, coach: str, berth: int, to: int
) -> dict[str, Any]:
    return {
        "pnr": f"45{n:08}",
        "index": 1,
        "irctcId": f"IR_{n}",
        "name": f"Passenger {n}",
        "from": "S00",
        "to": f"S{to:02}",
        "class": "SL",
        "status": status,
        "number": number,
        "coach": coach,
        "berth": berth,
    }


def started(chart: Chart) -> TrainState:
    state = TrainState(chart.run)
    state.carry_out(c.RegisterTrain(train_no="12345", chart=chart), EVENING)
    state.carry_out(c.StartJourney(**TRAIN), EVENING)
    return state


def mark(state: TrainState, kind: type[c.PersonCommand], pnr: str) -> list[e.Event]:
    return state.carry_out(kind(**TRAIN, pnr=pnr, index=1), EVENING)


def bench_matching() -> None:
    """Measure each no-show while 200 wait. The first 200 find a match, the others find none."""
    state = started(full_train())
    for n in range(RAC):
        mark(state, c.MarkBoarded, f"45{5_000 + n:08}")
    found, none = [], []
    for n in range(400):
        start = time.perf_counter()
        events = mark(state, c.MarkNoShow, f"45{n:08}")
        took = (time.perf_counter() - start) * 1e3
        (found if any(isinstance(x, e.UpgradePending) for x in events) else none).append(took)
    for name, times in (("matched", found), ("no match left", none)):
        print(
            f"one no-show, {name} ({len(times)}): median {statistics.median(times):.3f} ms, "
            f"p99 {sorted(times)[int(len(times) * 0.99)]:.3f} ms"
        )


def bench_lookup() -> None:
    """Measure the look-up of a PNR's passengers by run and PNR, for one train and a thousand."""
    chart = full_train()
    one = started(chart)
    many = {run_key(f"{n:05}", chart.start_date): one for n in range(1_000)}
    few = {chart.run: one}
    rounds: dict[int, list[float]] = {1: [], 1_000: []}
    for _ in range(30):
        for runs in (few, many):
            keys = list(runs)
            asked = [keys[n % len(keys)] for n in range(10_000)]
            start = time.perf_counter()
            for run in asked:
                runs[run].on_pnr("4500000777")
            rounds[len(keys)].append((time.perf_counter() - start) * 1e5)
    one_ns, many_ns = (statistics.median(rounds[count]) for count in (1, 1_000))
    print(f"look-up by PNR: {one_ns:.0f} ns on one train, {many_ns:.0f} ns on 1,000")


def bench_run() -> None:
    """Measure a run from chart to terminus. All passengers are marked, one in sixteen as NT."""
    chart = full_train()
    start = time.process_time()
    state, count = started(chart), 0
    for n, passenger in enumerate(list(state.passengers.values())):
        kind = c.MarkNoShow if n % 16 == 15 else c.MarkBoarded
        count += len(mark(state, kind, passenger.booking.pnr))
    now = EVENING
    for stop in state.stops:
        code = stop.station.code
        now += timedelta(minutes=12)
        if stop.index:
            count += len(state.carry_out(c.Arrive(**TRAIN, station_code=code), now))
        for offer in list(state.open_by_berth.values()):
            if offer.state == "OPEN" and offer.made.expires_at > now:
                accept = c.AcceptOffer(**TRAIN, offer_id=offer.id)
                count += len(state.carry_out(accept, now))
        if stop.index < STATIONS - 1:
            count += len(state.carry_out(c.Depart(**TRAIN, station_code=code), now))
            count += len(state.carry_out(c.ExpireOffers(**TRAIN), now + timedelta(minutes=6)))
    took = time.process_time() - start
    print(f"a full run, {count} events, {len(state.upgrades)} upgrades: {took:.2f} s of CPU")


def bench_weight() -> None:
    chart = full_train()
    tracemalloc.start()
    state = started(chart)
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    each = size / len(state.passengers)
    print(f"state without its chart: {size / 1e6:.2f} MB, {each:.0f} bytes a passenger")


if __name__ == "__main__":
    print(f"{PASSENGERS} passengers, {RAC} on RAC, {STATIONS} stations, Python {sys.version[:6]}")
    bench_matching()
    bench_lookup()
    bench_run()
    bench_weight()
