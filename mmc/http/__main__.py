"""``python -m mmc.http OPTIONS``: the HTTP service as a meta service starts it; options are JSON."""

from __future__ import annotations

import json
import sys

from mmc.errors import CacheError
from mmc.http.server import run_http
from mmc.process import tell_failure
from mmc.services.launch import LaunchOptions, log_as


def main() -> int:
    """Serve until stopped."""
    options = LaunchOptions(**json.loads(sys.argv[1]))
    try:
        log_as("http", options)
        run_http(options)
    except CacheError as error:
        tell_failure(options.ready_fd, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
