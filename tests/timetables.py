"""Timetables of made-up trains, with every shape that real ones have."""

from random import Random

WEEK = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"]


def made_up_trains(count, fewest=2, seed=1):
    """Return `count` trains as `read_timetable` gives them, of `fewest` to 115 stations."""
    chance = Random(seed)
    return [_train(str(40_000 + number), fewest, chance) for number in range(count)]


def _train(number, fewest, chance):
    stops = chance.choice((fewest, chance.randint(fewest, 40), chance.randint(fewest, 115)))
    stations, minutes, distance = [], chance.randrange(1_440), 0
    for stop in range(stops):
        if stop:
            minutes += chance.choice((3, 15, 40, 150))
            distance += chance.choice((0, 4, 30, 180))  # two halts of one city may be 0 km apart
        arrival = minutes
        if 0 < stop < stops - 1:
            minutes += chance.choice((1, 2, 5, 25))
        stations.append(
            {
                "code": _code(stop),
                "name": f"STATION {stop}",
                "arrival": _time(arrival) if stop else None,
                "departure": _time(minutes) if stop < stops - 1 else None,
                "day": 1 + arrival // 1_440,
                "distanceKm": distance,
            }
        )
    days = sorted(chance.sample(range(7), chance.randint(1, 7)))
    return {
        "trainNo": number,
        "trainName": f"EXPRESS {number}",
        "runsOn": [WEEK[day] for day in days],
        "stations": stations,
    }


def _code(stop):
    """Return a station's code of two to four letters, such as "AB"."""
    return chr(65 + stop // 26) + chr(65 + stop % 26) + "XY"[: stop % 3]


def _time(minutes):
    return f"{minutes // 60 % 24:02}:{minutes % 60:02}"
