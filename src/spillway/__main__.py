"""``python -m spillway`` is the ``spillway`` command."""

from spillway.cli import main

main()
