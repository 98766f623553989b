"""The edges to what the hub stands on: SQLite, MongoDB, the outbox folder."""
