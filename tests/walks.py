"""How many walks of how many steps hypothesis makes through a state machine."""

import os

from hypothesis import HealthCheck, settings


def walks(examples: int, steps: int) -> settings:
    """Return the settings. RANDOM=1 makes new walks; else each run repeats the same ones."""
    return settings(
        max_examples=examples,
        stateful_step_count=steps,
        deadline=None,
        print_blob=True,
        derandomize="RANDOM" not in os.environ,
        suppress_health_check=[HealthCheck.too_slow],  # a busy machine is no fault
    )
