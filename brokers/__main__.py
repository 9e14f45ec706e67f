"""``python -m brokers``: both brokers of one meta service, without the rest of the command line."""

from __future__ import annotations

import argparse
import sys

from brokers.server import BrokerServer, BrokerUrls
from mmc.config import load_config
from mmc.errors import CacheError
from mmc.process import stop_on_signals

_DEFAULTS = {
    "meta_url": "tcp://127.0.0.1:5000",
    "backend_url": "tcp://127.0.0.1:5001",
    "publish_url": "tcp://127.0.0.1:6001",
    "events_url": "tcp://127.0.0.1:6000",
}


def main() -> int:
    """Serve until a signal comes."""
    parser = argparse.ArgumentParser(prog="brokers", description=__doc__)
    for name, url in _DEFAULTS.items():
        parser.add_argument(f"--{name.replace('_', '-')}", default=url, help=f"default {url}")
    urls = BrokerUrls(**vars(parser.parse_args()))
    config = load_config()
    try:
        server = BrokerServer(urls, config.wire, config.broker)
    except CacheError as error:
        sys.stderr.write(f"brokers: {error}\n")
        return 1
    stop_on_signals(server)
    server.run()
    return 0


if __name__ == "__main__":
    sys.exit(main())
