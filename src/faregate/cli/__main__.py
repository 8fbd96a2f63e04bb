"""`python -m faregate.cli` is the command `faregate`."""

from faregate.cli.app import main

main()
