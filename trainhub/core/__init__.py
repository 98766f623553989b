"""Messaging without a railway in it: a durable log, its readers, rooms and what they need."""
