"""Addresses of data servers."""

import pytest

from mmc.errors import CannotCreate, InvalidArgument
from mmc.transfer.addresses import Endpoint, advertised, endpoint_of, listen, resolve


@pytest.mark.parametrize(
    ("url", "endpoint"),
    [
        ("tcp://127.0.0.1:7000", Endpoint("127.0.0.1", 7000)),
        ("tcp://*:0", Endpoint("*", 0)),
        ("tcp://[::1]:65535", Endpoint("::1", 65535)),
        ("tcp://host.example:1", Endpoint("host.example", 1)),
    ],
)
def test_an_endpoint_is_read_and_written(url: str, endpoint: Endpoint) -> None:
    """A URL is an endpoint and the endpoint that URL, IPv6 in brackets."""
    assert endpoint_of(url, "data.url") == endpoint
    assert endpoint.url() == url


@pytest.mark.parametrize("url", ["", "ipc:///x", "tcp://host", "tcp://host:x", "tcp://host:65536", "host:1"])
def test_what_is_no_endpoint_names_its_setting(url: str) -> None:
    """-3000 with the setting and the form that is wanted."""
    with pytest.raises(InvalidArgument, match=r"data\.url"):
        endpoint_of(url, "data.url")


@pytest.mark.parametrize("host", ["0.0.0.0", "*", "::"])  # noqa: S104 - wildcards are what is tested
def test_a_wildcard_is_never_told(host: str) -> None:
    """Who listens everywhere tells the address by which it reaches the meta service, or its loopback."""
    with listen(Endpoint(host, 0), "data.url") as listening:
        told = endpoint_of(advertised(listening, "", "tcp://127.0.0.1:5000"), "told")
        assert not told.is_wildcard
        assert told.port == listening.getsockname()[1]
        assert endpoint_of(advertised(listening, "", "inproc://meta"), "told").host in ("127.0.0.1", "::1")
        assert advertised(listening, "rack7", "tcp://127.0.0.1:5000") == f"tcp://rack7:{told.port}"


def test_an_address_in_use_names_url_and_setting() -> None:
    """-3002 with both."""
    with listen(Endpoint("127.0.0.1", 0), "data.url") as listening:
        taken = Endpoint(*listening.getsockname())
        with pytest.raises(CannotCreate, match=rf"data\.url tcp://127.0.0.1:{taken.port}: .*in use"):
            listen(taken, "data.url")


def test_what_another_tells_may_be_no_url() -> None:
    """It is refused like any other that is none."""
    with pytest.raises(InvalidArgument):
        resolve("rubbish")
