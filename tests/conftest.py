"""How hypothesis searches, and in which order tests run.

Examples are the same for everybody, unless a longer search is asked for: ``pytest
--hypothesis-profile=search`` draws new ones, and many more of them.
"""

import pytest
from hypothesis import HealthCheck, settings

settings.register_profile(
    "checked",
    derandomize=True,
    database=None,
    deadline=None,
    max_examples=50,
    stateful_step_count=40,
    report_multiple_bugs=False,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.register_profile(
    "search",
    deadline=None,
    max_examples=2000,
    stateful_step_count=100,
    print_blob=True,
    suppress_health_check=[HealthCheck.too_slow],
)
settings.load_profile("checked")


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Tests with a timeout of their own come first: the others fill the time of the last of them."""

    def patience(item: pytest.Item) -> float:
        marker = item.get_closest_marker("timeout")
        return float(marker.args[0]) if marker else 0.0

    items.sort(key=patience, reverse=True)
