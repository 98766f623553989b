"""The list of all runs, a line for each: many callers ask for it, and all get the same."""

from trainhub.core.cost import in_slices
from trainhub.core.wire import encode
from trainhub.domain.model import RunKey
from trainhub.domain.train import TrainState
from trainhub.domain.views import summary
from trainhub.hub.hub import Hub
from trainhub.web.shared import SharedBody


def list_of_trains(hub: Hub) -> SharedBody:
    """Return the answer with all runs. A run's line is encoded again when the run has changed."""
    lines: dict[RunKey, tuple[int, bytes]] = {}

    def line(state: TrainState) -> bytes:
        seq, encoded = lines.get(state.run, (0, b""))
        if seq != state.seq:
            encoded = encode(summary(state))
            lines[state.run] = (state.seq, encoded)
        return encoded

    async def make() -> bytes:
        runs = list(hub.runs.all())
        body = b'{"result":[%b]}' % b",".join([line(state) async for state in in_slices(runs)])
        for gone in lines.keys() - {state.run for state in runs}:
            del lines[gone]
        await hub.read(lambda: None)  # returns when what the lines show is in the journal
        return body

    return SharedBody(make, lambda: (hub.log.last, len(list(hub.runs.all()))))
