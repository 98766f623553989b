"""How a run stands, ready for the wire: made once for all who come into its room at one seq."""

from dataclasses import dataclass, field

from trainhub.core.audience import Standing
from trainhub.core.deflate import Part
from trainhub.core.journal import Record
from trainhub.core.wire import encode
from trainhub.domain.model import STAFF, RunKey
from trainhub.domain.train import TrainState
from trainhub.domain.views import figures, private_view, public_view
from trainhub.hub.protocol import event_message, figure_message, run_fields
from trainhub.hub.train_rooms import TrainRooms

BOARDING = "BOARDING_UPDATE"
# The end of a SNAPSHOT for those who may see no people.
NO_PEOPLE = Part(b"}}")


@dataclass(slots=True)
class SharedSnapshot:
    """What all joiners of a run at one seq are told, ready for the wire.

    `public` is the part of a SNAPSHOT that everyone may see, `staff` its end for the staff, and
    `figures` a frame. `snapshots` are frames: by whether they have no people, and by the window.
    """

    seq: int
    public: Part
    figures: bytes
    staff: Part | None = None
    snapshots: dict[tuple[bool, int], bytes] = field(default_factory=dict)


class Snapshots:
    """What joiners are told alike, over the rooms of one log."""

    def __init__(self, epoch: str, rooms: TrainRooms) -> None:
        self.epoch = epoch
        self._rooms = rooms
        self._shared: dict[RunKey, SharedSnapshot] = {}
        self._events: dict[tuple[RunKey, int], bytes] = {}

    def event(self, record: Record) -> bytes:
        """The frame of an event that many may have missed."""
        frame = self._events.get((record.stream, record.seq))
        if frame is None:
            frame = self._rooms.frame(event_message(record))
            self._events[record.stream, record.seq] = frame
        return frame

    def share(self, state: TrainState) -> SharedSnapshot:
        """What all who join a run now are told."""
        shared = self._shared.get(state.run)
        if shared is None or shared.seq != state.seq:
            message = figure_message(BOARDING, state.run, figures(state))
            public = Part(encode(public_view(state)).removesuffix(b"}"))
            shared = SharedSnapshot(state.seq, public, self._rooms.frame(message))
            self._shared[state.run] = shared
        return shared

    def frames(self, state: TrainState, standing: Standing, epoch: str, window: int) -> bytes:
        """The SNAPSHOT for a standing, under that name of the epoch, as that window reads it."""
        shared = self.share(state)
        people = self._people(state, standing, shared)
        alike = epoch == self.epoch and people in (shared.staff, NO_PEOPLE)
        key = (people is NO_PEOPLE, window)
        frames = shared.snapshots.get(key) if alike else None
        if frames is None:
            run = {**run_fields(state.run), "epoch": epoch, "seq": shared.seq}
            head = encode({"type": "SNAPSHOT", **run}).removesuffix(b"}") + b',"run":'
            frames = self._rooms.wrap((Part(head), shared.public, people), window)
            if alike:
                shared.snapshots[key] = frames
        return frames

    @staticmethod
    def _people(state: TrainState, standing: Standing, shared: SharedSnapshot) -> Part:
        """The end of a SNAPSHOT: the people that may be seen."""
        staff = standing.role in STAFF
        if staff and shared.staff is not None:
            return shared.staff
        private = private_view(state, standing.role, standing.user)
        people = Part(b"," + encode(private)[1:] + b"}") if private else NO_PEOPLE
        if staff:
            shared.staff = people
        return people

    def forget(self) -> None:
        """Let go of what was made for joiners: it is made again for the next."""
        self._shared.clear()
        self._events.clear()
