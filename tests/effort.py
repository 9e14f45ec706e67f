"""How many examples a test is worth, as a share of what the profile gives each."""

from hypothesis import settings


def share(parts: int) -> settings:
    """Settings for a test that runs once for each of many parameters."""
    return settings(max_examples=max(1, settings().max_examples // parts))


def times(factor: int) -> settings:
    """Settings for a test that is cheap, or whose findings are rare."""
    return settings(max_examples=settings().max_examples * factor)
