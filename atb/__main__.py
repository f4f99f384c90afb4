"""`python -m atb`."""

from atb.cli import main

main()
