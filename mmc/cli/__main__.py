"""``python -m mmc.cli``."""

from mmc.cli import main

main()
