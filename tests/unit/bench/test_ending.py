"""What ends with a run: in which order, and how an interrupted run hurries."""

from __future__ import annotations

import pytest

from mmc.bench.ending import Ending


class Process:
    """A process that writes down what is done to it, and whose first end may be interrupted."""

    def __init__(self, name: str, story: list[str], *, interrupted: bool = False) -> None:
        """It runs."""
        self._name = name
        self._story = story
        self._interrupted = interrupted

    def end(self) -> None:
        """End, unless Ctrl-C comes meanwhile."""
        if self._interrupted:
            self._interrupted = False
            raise KeyboardInterrupt
        self._story.append(f"{self._name} ends")

    def hurry(self) -> None:
        """Be told to end at once."""
        self._story.append(f"{self._name} hurries")


def story_of(*names: str, interrupted: str = "", failure: BaseException | None = None) -> list[str]:
    """What becomes of processes that are kept in this order; ``interrupted`` is interrupted at its end."""
    story: list[str] = []
    try:
        with Ending() as ending:
            for name in names:
                ending.keep(Process(name, story, interrupted=name == interrupted))
            if failure is not None:
                raise failure
    except (ValueError, KeyboardInterrupt, SystemExit) as raised:
        story.append(type(raised).__name__)
    return story


def test_what_was_started_last_ends_first_and_in_order() -> None:
    """A run that is through, or that failed, hurries nobody."""
    assert story_of("server", "client") == ["client ends", "server ends"]
    failed = story_of("server", "client", failure=ValueError("wrong bytes"))
    assert failed == ["client ends", "server ends", "ValueError"]


@pytest.mark.parametrize("interruption", [KeyboardInterrupt, SystemExit])
def test_an_interrupted_run_tells_everybody_before_it_waits_for_anybody(
    interruption: type[BaseException],
) -> None:
    """No process waits with its end for that of another."""
    story = story_of("server", "client", failure=interruption())
    assert story[:2] == ["server hurries", "client hurries"]
    assert story[2:] == ["client ends", "server ends", interruption.__name__]


def test_an_end_that_is_interrupted_hurries_what_is_left() -> None:
    """What has ended by then is left alone, and nothing is forgotten."""
    story = story_of("server", "client", "caller", interrupted="client")
    assert story[:3] == ["caller ends", "server hurries", "client hurries"]
    assert story[3:] == ["client ends", "server ends", "KeyboardInterrupt"]
