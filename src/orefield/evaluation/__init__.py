"""How good a field is: metrics, test views, the probe, the protocol, and where samples are kept."""
