"""A made-up railway day: real trains with made-up passengers."""
