"""The process itself: signals, logging, timers, clock and health."""
