"""One module per command: `Args`, what the command line takes, and `run`, which returns a code.

Torch and its like are imported inside `run`, so that `--help` stays quick.
"""
