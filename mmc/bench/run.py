"""One run: start everything, load it, measure by turns, end everything.

In each round every row is measured in every column, one after the other, before the next row: whatever
happens to the machine meanwhile happens to all of them.
"""

from __future__ import annotations

import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from mmc.bench import life, meta
from mmc.bench.columns import BARE, FAR, FLOORS, MEMMOVE, OURS, PEERS, SOCKET
from mmc.bench.contender import Contender
from mmc.bench.dataset import Part
from mmc.bench.desk import Desk
from mmc.bench.ending import Ending
from mmc.bench.failures import BenchError
from mmc.bench.machine import describe, load_average
from mmc.bench.ours import Cluster, Echo, Holder, pool_bytes_for
from mmc.bench.peers import Peers, missing_parts
from mmc.bench.processes import Hand
from mmc.bench.report import Report
from mmc.bench.rows import FAR as FAR_ROWS
from mmc.bench.rows import FIRST_GET, FIRST_PUT, FIRSTS, LIFE, META, POPULATE, TIMED
from mmc.bench.stores.contract import Where

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.bench.rows import Row
    from mmc.bench.settings import Settings

_PATIENCE_S = 300.0
_NANO = 1e-9


class Run:
    """A run in progress."""

    def __init__(self, settings: Settings, say: Callable[[str], None], ending: Ending) -> None:
        """Nothing is started; what will be ends with ``ending``.  ``say`` is told what goes on."""
        self._settings = settings
        self._dataset = settings.dataset()
        self._say = say
        self._ending = ending
        self._folder = Path(ending.enter_context(tempfile.TemporaryDirectory(prefix="mmc-bench-")))
        self._contenders: list[Contender] = []
        self._fresh = 0
        self.report = Report(describe(), self._described(), asked=settings.rows)

    def _described(self) -> dict[str, object]:
        settings, dataset = self._settings, self._dataset
        return {
            "rounds": settings.rounds,
            "ranks": settings.ranks,
            "quick": settings.quick,
            "objects": {part.size: dataset.count(part) for part in Part},
            "bytes": dataset.stored_bytes,
        }

    def measure(self) -> None:
        """Everything that was asked for.

        Raises:
            BenchError: something does not start, or answers wrongly.
            CacheError: the same of our cluster.
        """
        machine, asked = self.report.machine, self._settings.rows
        machine["load_before"] = load_average()
        if any(row in LIFE for row in asked):
            self._say("starting and stopping clusters")
            life.measure(self._settings, self.report.figures, self._hand("the caller"), self._folder)
        if any(row in META for row in asked):
            self._say("the meta service alone")
            meta.measure(self._settings, self.report.figures, self._hand("the asker"))
        timed = (*TIMED, *FAR_ROWS)
        if any(row in (*timed, *FIRSTS, POPULATE) for row in asked):
            self._measure_stores([row for row in timed if row in asked], [r for r in FIRSTS if r in asked])
        machine["load_after"] = load_average()

    def _hand(self, name: str, ending: Ending | None = None) -> Hand:
        self._fresh += 1
        hand = Hand(name, self._dataset, {}, self._folder / f"hand-{self._fresh}.log")
        (ending or self._ending).keep(hand)
        return hand

    def _measure_stores(self, timed: list[Row], firsts: list[Row]) -> None:
        if timed and self._settings.peers:
            self._start_peers()
        self._say("starting this cluster and loading it")
        where = self._start_ours()
        for number in range(1, self._settings.rounds + 1):
            self._say(f"round {number} of {self._settings.rounds}")
            for row in timed:
                for contender in list(self._contenders):
                    self._measure_row(contender, row)
            for row in firsts:
                self._measure_first(row, where)

    def _start_peers(self) -> None:
        peers = Peers(self._folder, self._dataset, self._ending)
        for column in PEERS:
            lacking = missing_parts(column)
            if lacking:
                self.report.missing.append(f"{column} is missing: {', '.join(lacking)}; see scripts/peers")
                continue
            self._say(f"starting {column} and loading it")
            try:
                self._contenders.append(peers.start(column))
            except BenchError as reason:
                self.report.missing.append(f"{column} is missing: {reason}")

    def _start_ours(self) -> Where:
        settings = self._settings
        dram = settings.dram or str(pool_bytes_for(self._dataset, settings.ranks))
        cluster = Cluster(settings.ranks, dram)
        self._ending.keep(cluster)
        self.report.settings["dram"] = dram
        self.report.figures.add(POPULATE.name, OURS, [cluster.populate_s])
        where = Where(OURS, cluster.meta_url, settings.ranks)
        places = [where, Where(MEMMOVE), Where(BARE, Echo(self._ending).url)]
        if any(row.far for row in settings.rows):
            holder = Holder(self._ending, self._dataset)
            places += [Where(SOCKET, holder.url), Where(FAR, cluster.meta_url, settings.ranks)]
        hands = []
        for role in ("writer", "reader"):
            hand = self._hand(f"our {role}")
            for each in places:
                hand.ask(_PATIENCE_S, Desk.open, each)
            if role == "writer":
                hand.ask(_PATIENCE_S, Desk.load, OURS)
            hands.append(hand)
        ours = [Contender(place.column, *hands) for place in places]
        self._contenders[:0] = ours
        for contender in self._contenders:
            if contender.column not in FLOORS:
                contender.reader.ask(_PATIENCE_S, Desk.warm_up, contender.column)
        return where

    def _measure_row(self, contender: Contender, row: Row) -> None:
        column = contender.column
        if not contender.takes_part(row):
            return
        try:
            self._take_turn(contender, row)
        except BenchError as reason:
            if column not in PEERS:
                raise
            self._contenders.remove(contender)
            self.report.missing.append(f"{column} was left out from {row.name} on: {reason}")

    def _take_turn(self, contender: Contender, row: Row) -> None:
        hand = contender.hand(row)
        if not hand.ask(_PATIENCE_S, Desk.can, contender.column, row):
            return
        calls = self._settings.calls(row)
        measured = hand.ask(_PATIENCE_S, Desk.measure, contender.column, row, calls)
        figures = self.report.figures
        figures.add(row.name, contender.shown_as, [took * _NANO for took in measured.nanoseconds])
        if measured.messages is not None:
            figures.add_messages(row.name, measured.messages, calls)

    def _measure_first(self, row: Row, where: Where) -> None:
        work = {FIRST_GET: Desk.first_get, FIRST_PUT: Desk.first_put}[row]
        with Ending() as ending:
            hand = self._hand("a fresh process", ending)
            self.report.figures.add(row.name, OURS, [hand.ask(_PATIENCE_S, work, where)])


def run_bench(settings: Settings, say: Callable[[str], None]) -> Report:
    """Measure, and leave nothing behind.

    Raises:
        BenchError: something does not start, or answers wrongly.
        CacheError: the same of our cluster.
    """
    with Ending() as ending:
        run = Run(settings, say, ending)
        run.measure()
        return run.report
