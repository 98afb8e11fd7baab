"""`python -m quant.cli`: the command line without the installed script."""

from quant.cli.main import main

main()
