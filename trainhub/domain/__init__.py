"""The railway's rules: standard library only, no loop, no clock, no I/O."""
