"""The figures of a replay, and how they read."""

from typing import Any

from scripts.replay.engine import Outcome
from scripts.replay.report import report_lines
from scripts.replay.tally import Figures, Tally
from scripts.replay.trace import Reach

KIB = 1024


def figures() -> Figures:
    """The figures of two requests on two engines."""
    tally = Tally(KIB, 2)
    tally.add(0, Outcome(asked=4, stored=4, exist_s=0.001, put_s=0.004, make_s=0.001))
    tally.add(
        1,
        Outcome(
            asked=4,
            found=3,
            hits=2,
            others=2,
            lost=1,
            stored=1,
            existed=1,
            wrong_bytes=3,
            exist_s=0.003,
            get_s=0.006,
            put_s=0.001,
            failed={"put NO_SPACE": 1},
        ),
    )
    return tally.figures(Reach(8, 3, 5), 2.0)


def test_sums() -> None:
    """Counts add up over engines; rates relate bytes to the time of the whole and of the calls."""
    found: dict[str, Any] = dict(figures())
    assert found["requests_per_engine"] == [1, 1]
    assert (found["blocks_asked"], found["blocks_hit"], found["hit_rate"]) == (8, 2, 0.25)
    assert found["hit_rate_unlimited"] == 3 / 8
    assert found["blocks_hit_of_the_other_engine"] == 2
    assert (found["blocks_put"], found["blocks_put_already_there"]) == (5, 1)
    assert (found["wrong_bytes"], found["failed"]) == (3, {"put NO_SPACE": 1})
    assert (found["bytes_got"], found["bytes_put"]) == (2 * KIB, 5 * KIB)
    assert found["gb_per_s"] == 7 * KIB / 1e9 / 2.0
    assert round(found["put_gb_per_s"] * 1e9) == round(5 * KIB / 0.005)
    assert found["engine_time"]["put"] == 0.005 / 4.0


def test_percentiles_weigh_batches_by_their_blocks() -> None:
    """A batch of a hundred blocks weighs a hundred times as much as one of a single block."""
    tally = Tally(KIB, 1)
    tally.add(0, Outcome(asked=100, found=100, hits=100, get_s=100 * 5e-6))
    for _ in range(10):
        tally.add(0, Outcome(asked=1, found=1, hits=1, get_s=70e-6))
    tally.add(0, Outcome(asked=1))
    found: dict[str, Any] = dict(tally.figures(Reach(111, 110, 1), 1.0))
    assert round(found["get_block_us"]["p50"]) == 5
    assert round(found["get_block_us"]["p99"]) == 70
    assert found["put_block_us"] == {"p50": 0.0, "p99": 0.0}


def test_an_empty_replay_has_figures() -> None:
    """Where nothing was asked, no rate divides by zero."""
    found: dict[str, Any] = dict(Tally(KIB, 2).figures(Reach(0, 0, 0), 0.0))
    assert (found["hit_rate"], found["gb_per_s"], found["put_gb_per_s"]) == (0.0, 0.0, 0.0)


def test_the_report_names_what_matters() -> None:
    """The report shows the hit rate beside its bound, wrong bytes, evictions and failures."""
    whole = {
        "source": "a trace",
        "engines": 2,
        "local_services": 2,
        "dram_bytes": 3 << 30,
        "block_bytes": KIB,
        "evictions": 12,
        "cpu_s": {"engines": 1.0},
        **figures(),
    }
    text = "\n".join(report_lines(whole))
    for part in ("25.00%", "37.50%", "wrong bytes: 3", "12", "3 GiB", "1 KiB", "NO_SPACE: 1"):
        assert part in text
