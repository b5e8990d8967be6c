"""`python -m sentinel_gateway` does what the installed command does."""

from sentinel_gateway.cli import main

raise SystemExit(main())
