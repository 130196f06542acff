"""One module per command: its arguments `Args`, and `run`, which returns the exit code.

`viewer_flags` has what two of them share.

Torch and its like are imported inside `run`, so that `--help` stays quick.
"""
