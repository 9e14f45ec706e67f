"""``python -m mmc.http``: the HTTP service as a meta service starts it."""

from __future__ import annotations

import sys

from mmc.errors import CacheError
from mmc.http.server import run_http
from mmc.process import tell_failure
from mmc.services.launch import hear, log_as


def main() -> int:
    """Serve until stopped."""
    options = hear()
    try:
        log_as("http", options)
        run_http(options)
    except CacheError as error:
        tell_failure(options.ready_fd, error)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
