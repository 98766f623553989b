"""A hub that the product's own code builds, with fakes for disks, MongoDB and notifications."""

from fakes import KeptJobs, Letters, MemoryJournal, MemoryStore, Postbox, line
from railway import MORNING
from witness import taken

from trainhub.build import Built, build
from trainhub.core.notifications import Channel
from trainhub.settings import read_settings

# What a hub gets without options.
DEFAULTS = read_settings([])


def build_of_fakes(**parts) -> Built:
    """Build a hub that counts as loaded, and whose followers do not read yet.

    `parts` take the place of the fakes; see trainhub.build.build.
    """
    fakes = {
        "journal": MemoryJournal(),
        "store": MemoryStore(),
        "undelivered": KeptJobs(),
        "dead_letters": Letters(),
        "clock": lambda: MORNING,
        "rooms": {},
        "frame": line,
        "on_failure": print,
        "on_taken": taken,
    }
    sender = parts.pop("sender", None) or Postbox()
    fakes["senders"] = dict.fromkeys(Channel, sender)
    built = build(DEFAULTS, **{**fakes, **parts})
    built.hub.loaded = True
    return built
