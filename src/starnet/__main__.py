"""`python -m starnet` is the command `starnet`."""

from starnet.cli import main

main()
