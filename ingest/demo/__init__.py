"""Simulated traffic of a four-layer cascade, with the truth known: `weir demo`, and the sample logs."""
