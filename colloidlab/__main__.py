"""``python -m colloidlab`` is the command line."""

from colloidlab.cli import main

main()
