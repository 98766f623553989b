"""A run's SNAPSHOT and figures as frames, made once for all subscribers who join at one seq."""

from dataclasses import dataclass, field

from trainhub.core.audience import Standing
from trainhub.core.deflate import Part
from trainhub.core.journal import Record
from trainhub.core.wire import encode
from trainhub.domain.model import STAFF, RunKey
from trainhub.domain.shapes import Figures
from trainhub.domain.train import TrainState
from trainhub.domain.views import common_view, figures, private_view, public_figures
from trainhub.hub.protocol import figure_message, run_fields
from trainhub.hub.train_rooms import TrainRooms

BOARDING = "BOARDING_UPDATE"
# The end of a SNAPSHOT for readers who may see no people.
NO_PEOPLE = Part(b"}}")


@dataclass(frozen=True, slots=True)
class SharedFigures:
    """A run's figures as a frame, and as a part of a SNAPSHOT."""

    frame: bytes
    part: Part


@dataclass(slots=True)
class SharedSnapshot:
    """The parts of messages that the joiners of a run at one seq share.

    `common` is the part of a SNAPSHOT that all readers see, and `staff` its end for the staff.
    `public` and `whole` are the figures for everyone and for the staff. `snapshots` are the frames
    of whole SNAPSHOTs, by whether they are without people and by the window of compression.
    """

    seq: int
    common: Part
    public: SharedFigures
    whole: SharedFigures
    staff: Part | None = None
    snapshots: dict[tuple[bool, int], bytes] = field(default_factory=dict)

    def figures(self, standing: Standing) -> SharedFigures:
        """Return the figures that a standing may see."""
        return self.whole if standing.role in STAFF else self.public


class Snapshots:
    """A cache of the frames that joiners share, for all runs."""

    def __init__(self, epoch: str, rooms: TrainRooms) -> None:
        self.epoch = epoch
        self._rooms = rooms
        self._shared: dict[RunKey, SharedSnapshot] = {}
        self._events: dict[tuple[RunKey, int], bytes] = {}

    def event(self, record: Record) -> bytes:
        """Return the frame of an event that clients have missed."""
        frame = self._events.get((record.stream, record.seq))
        if frame is None:
            frame = self._rooms.frame(self._rooms.message(record))
            self._events[record.stream, record.seq] = frame
        return frame

    def share(self, state: TrainState) -> SharedSnapshot:
        """Return the shared parts of a run as it is now."""
        shared = self._shared.get(state.run)
        if shared is None or shared.seq != state.seq:
            common = Part(encode(common_view(state)).removesuffix(b"}"))
            found = figures(state)
            public = public_figures(state, found)
            whole = self._figures(state.run, found)
            everyone = whole if public is found else self._figures(state.run, public)
            shared = SharedSnapshot(state.seq, common, everyone, whole)
            self._shared[state.run] = shared
        return shared

    def _figures(self, run: RunKey, found: Figures) -> SharedFigures:
        frame = self._rooms.frame(figure_message(BOARDING, run, found))
        return SharedFigures(frame, Part(b',"figures":' + encode(found)))

    def frames(self, state: TrainState, standing: Standing, epoch: str, window: int) -> bytes:
        """Return the frames of a SNAPSHOT for a standing, an epoch and a window of compression."""
        shared = self.share(state)
        people = self._people(state, standing, shared)
        alike = epoch == self.epoch and people in (shared.staff, NO_PEOPLE)
        key = (people is NO_PEOPLE, window)
        frames = shared.snapshots.get(key) if alike else None
        if frames is None:
            run = {**run_fields(state.run), "epoch": epoch, "seq": shared.seq}
            head = encode({"type": "SNAPSHOT", **run}).removesuffix(b"}") + b',"run":'
            parts = Part(head), shared.common, shared.figures(standing).part, people
            frames = self._rooms.wrap(parts, window)
            if alike:
                shared.snapshots[key] = frames
        return frames

    @staticmethod
    def _people(state: TrainState, standing: Standing, shared: SharedSnapshot) -> Part:
        """Return the end of a SNAPSHOT: the people that the standing may see."""
        staff = standing.role in STAFF
        if staff and shared.staff is not None:
            return shared.staff
        private = private_view(state, standing.role, standing.user)
        people = Part(b"," + encode(private)[1:] + b"}") if private else NO_PEOPLE
        if staff:
            shared.staff = people
        return people

    def clear(self) -> None:
        """Clear the cache."""
        self._shared.clear()
        self._events.clear()
