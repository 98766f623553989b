"""trainhub: the real-time hub of a railway, one process on a station server."""

__version__ = "0.1.0"
