"""Orefield inside of other people's frameworks. Each module needs its framework installed."""
