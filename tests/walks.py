"""How the state machines walk: so many walks of so many steps, and the same ones each time."""

import os

from hypothesis import HealthCheck, settings


def walks(examples: int, steps: int) -> settings:
    """RANDOM=1 takes new ones; else they stay, so that a change is judged by itself."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        derandomize="RANDOM" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault
    )
