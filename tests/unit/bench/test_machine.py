"""What a process has used."""

import os
import time

import pytest

from mmc.bench.machine import cpu_seconds


def test_the_processor_time_of_a_process_is_that_of_its_clock() -> None:
    """What is told of this process is what it knows itself, from before to after."""
    before = time.process_time()
    told = cpu_seconds(os.getpid())
    assert before <= told <= time.process_time()


def test_a_process_that_is_none_has_no_processor_time() -> None:
    """Asking for a process that is not there is an error of the system."""
    with pytest.raises(OSError, match="No such process"):
        cpu_seconds(1 << 22)
