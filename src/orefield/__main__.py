"""`python -m orefield` is the command `orefield`."""

from orefield.cli import main

raise SystemExit(main())
