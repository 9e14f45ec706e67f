"""What is written down outlives its writer, and says of every key what may be relied on."""

from __future__ import annotations

from pathlib import Path
from random import Random

from scripts.crashing.ledger import GONE, LEAVING, STORED, TRIED, Journal, Keys, Ledger, Tick


def test_a_key_is_to_be_found_from_its_acknowledgement_until_its_removal_begins(tmp_path: Path) -> None:
    """Neither before the put has answered nor after the removal was announced."""
    journal, ledger = Journal(tmp_path, "0-0"), Ledger(tmp_path)
    for word, is_stored in ((TRIED, False), (STORED, True), (LEAVING, False), (GONE, False)):
        journal.say(word, "key")
        ledger.read_on()
        assert ledger.is_stored("key") is is_stored, word
        assert list(ledger.stored) == ["key"] * is_stored
    assert list(ledger.left) == ["key"]
    assert ledger.open_keys() == []


def test_words_of_different_lives_may_be_read_in_any_order(tmp_path: Path) -> None:
    """A removal that is read before the acknowledgement it follows is not undone by that."""
    first, second, ledger = Journal(tmp_path, "0-0"), Journal(tmp_path, "0-1"), Ledger(tmp_path)
    second.say(LEAVING, "key")
    second.say(GONE, "key")
    ledger.read_on()
    first.say(TRIED, "key")
    first.say(STORED, "key")
    ledger.read_on()
    assert not ledger.is_stored("key")
    assert not len(ledger.stored)


def test_a_line_that_is_written_halfway_is_read_when_it_is_whole(tmp_path: Path) -> None:
    """Nothing is lost of it, and nothing taken for what it is not."""
    ledger = Ledger(tmp_path)
    path = tmp_path / "0-0.journal"
    path.write_text("stored 0/0/1/4096\nstored 0/0/2/40")
    ledger.read_on()
    assert list(ledger.stored) == ["0/0/1/4096"]
    with path.open("a") as stream:
        stream.write("96\n")
    ledger.read_on()
    assert sorted(ledger.stored) == ["0/0/1/4096", "0/0/2/4096"]


def test_findings_and_counts_are_kept(tmp_path: Path) -> None:
    """A finding names who found it."""
    journal, ledger = Journal(tmp_path, "2-7"), Ledger(tmp_path)
    journal.find("missing", key="a")
    journal.tick(Tick(1.5, 10, 2))
    journal.say(STORED, "a", "b")
    ledger.read_on()
    ledger.read_on()
    assert ledger.findings == [{"kind": "missing", "by": "2-7", "key": "a"}]
    assert ledger.ticks == [Tick(1.5, 10, 2)]
    assert ledger.counts[STORED] == 2


def test_keys_are_drawn_from_those_that_are_in() -> None:
    """Also after some were taken out."""
    keys = Keys()
    for number in range(10):
        keys.add(str(number))
        keys.add(str(number))
    for number in range(0, 10, 2):
        keys.discard(str(number))
        keys.discard(str(number))
    assert sorted(keys.draw(Random(1), 99)) == ["1", "3", "5", "7", "9"]
    assert len(keys) == 5
