"""What the process needs whatever it serves: signals, logging, timers, clock and health."""
