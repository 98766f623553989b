"""The fields that commands, events and views share: the meaning, bounds and example of each."""

from datetime import date, datetime
from typing import Annotated, TypedDict

from trainhub.core.about import About
from trainhub.domain import normal

# Bounds of a chart. A chart beyond them is a mistake; chart.py refuses it.
MOST_ON_A_PNR = 6  # people
MOST_STATIONS = 200  # stops of a run; a journey's bit mask has a bit for each leg
MOST_DAYS = 10  # days from the start of a run to its end
MOST_BERTHS = 150  # berths or seats of a coach
MOST_BERTH_NUMBER = 999
MOST_COACHES = 40  # coaches of a train; a long one has 24
# A chart is one event, and so one document of MongoDB, which may have 16 MB. In it, 10,000
# passengers have up to 400 bytes each without their texts, and all texts up to 8 MB: 12 MB in all.
MOST_PASSENGERS = 10_000
MOST_KINDS = 20  # kinds of waiting list; five are known
MOST_TEXT_BYTES = 8 * 1024 * 1024
# Seconds that an offer may stay open: up to a day.
OFFER_SECONDS = range(1, 86_401)
# Minutes after a departure in which the TTEs check who has boarded.
CHECK_MINUTES = range(1_441)
# Minutes in which a no-show can be undone, if a chart limits them: up to a day.
UNDO_MINUTES = range(1, 1_441)
# Minutes of delay: from two hours early to two days late.
DELAYS = range(-120, 2 * 24 * 60 + 1)

# A number that runs more than once on a date has a part in all runs but one: 729, 729-2, 729-3.
TRAIN_NO = "[0-9A-Z]{1,10}(?:-[2-9])?"
PNR = "[0-9A-Z]{5,16}"
COACH = "[0-9A-Z]{1,6}"
WAITING_KIND = "[A-Z]{2}"
RAILWAY_ZONE = "[0-9A-Z]{1,8}"
TIME = "([01][0-9]|2[0-3]):[0-5][0-9]"

TrainNo = Annotated[
    str,
    About(
        "The train: 1 to 10 letters and digits; 12345-2 is the number's second run on that date.",
        example="12345",
        pattern=TRAIN_NO,
        given=str | int,
        normal=normal.train_no,
    ),
]
TrainName = Annotated[str, About("The train's name.", example="SARAIGHAT EXP")]
StartDate = Annotated[date, About("The run's date at its first station.", example="2026-11-23")]
Moment = Annotated[
    datetime,
    About("A time with its offset, as in ISO 8601.", example="2026-11-23T17:05:12+05:30"),
]
Zone = Annotated[str, About("The time zone of the run.", example="Asia/Kolkata")]
RailwayZone = Annotated[
    str,
    About(
        "The zone of the railway that the train belongs to, by its code.",
        example="NFR",
        pattern=RAILWAY_ZONE,
        normal=normal.code,
    ),
]
StationZone = Annotated[
    str,
    About(
        "The time zone of the station, where it is not that of the run.",
        example="America/Los_Angeles",
    ),
]
Seq = Annotated[int, About("The event's number within its run, from 1.", least=1, example=17)]
StationCode = Annotated[
    str, About("A station of the train, by its code.", example="BWN", normal=normal.code)
]
# A stop is named by its station's code. Where the train calls at a station more than once, the code
# has the stop's index behind it, like BWN@3.
StopCode = Annotated[
    str,
    About(
        "A stop of the train, by its station's code: BWN, or BWN@3 for the stop with index 3 of a "
        "train that calls there twice.",
        example="BWN",
        normal=normal.code,
    ),
]
Origin = Annotated[
    str, About("Where it begins: a stop, by its code.", example="BWN", normal=normal.code)
]
Destination = Annotated[
    str, About("Where it ends: a stop, by its code.", example="NJP", normal=normal.code)
]
StationName = Annotated[str, About("The station's name.", example="BARDDHAMAN")]
StationIndex = Annotated[int, About("The station's place in the run, from 0.", least=0, example=1)]
ClockTime = Annotated[
    str,
    About("HH:MM; null at the end of the run.", pattern=TIME, example="17:03", normal=normal.clock),
]
Day = Annotated[
    int, About("1 on the day on which the train starts.", least=1, most=MOST_DAYS, example=1)
]
DistanceKm = Annotated[int, About("Kilometres from the first station.", example=95)]
Platform = Annotated[str, About("The platform.", example="4")]
DelayMinutes = Annotated[
    int, About("Minutes behind the timetable; negative if the train is early.", example=2)
]
SetMinutes = Annotated[
    int,
    About("From two hours early to two days late.", least=DELAYS[0], most=DELAYS[-1], example=12),
]
RemarkText = Annotated[
    str, About("A remark for the captaincy report.", example="the water of S1 has run out")
]
Note = Annotated[str, About("The reason, in words.", example="fog")]
Pnr = Annotated[
    str,
    About(
        "5 to 16 letters and digits.",
        pattern=PNR,
        example="4512345602",
        given=str | int,
        normal=normal.pnr,
    ),
]
PersonIndex = Annotated[
    int, About("The person's number on the PNR, from 1.", least=1, most=MOST_ON_A_PNR, example=1)
]
PersonName = Annotated[str, About("The person's name.", example="ASHA RAO")]
UserId = Annotated[
    str, About("The user who booked: an irctcId.", example="IR_10", normal=normal.text)
]
TteUser = Annotated[
    str, About("A TTE: the user that the token names.", example="T17", normal=normal.text)
]
CoachCode = Annotated[
    str, About("A coach, by its code.", pattern=COACH, example="S1", normal=normal.code)
]
BerthNumber = Annotated[int, About("A berth of the coach, by its number.", least=1, example=7)]
ClassCode = Annotated[str, About("A class of travel.", example="SL", normal=normal.travel_class)]
# In this form because `class` is a keyword of Python.
OfClass = TypedDict("OfClass", {"class": ClassCode})
WaitingKind = Annotated[
    str,
    About(
        "A kind of waiting list: GN general, RL remote, PQ pooled, RS roadside, TQ Tatkal.",
        pattern=WAITING_KIND,
        example="GN",
        normal=normal.code,
    ),
]
Number = Annotated[int, About("The number on RAC or WL.", example=2)]
OfferId = Annotated[
    str,
    About(
        "An offer. The id names its run and the event that made it.",
        pattern=rf"{TRAIN_NO}\.[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}\.[0-9]{{1,15}}",
        example="12345.2026-11-23.17",
    ),
]
