"""What a measuring process has before it: the stores that it has opened, and the objects in them."""

from __future__ import annotations

import statistics
from time import perf_counter
from typing import TYPE_CHECKING

from mmc.bench.dataset import Content, Dataset, Part
from mmc.bench.rows import Does, Row
from mmc.bench.stores.opening import open_store
from mmc.bench.workload import Workload
from mmc.client import Client

if TYPE_CHECKING:
    from mmc.bench.stores.contract import Store, Where
    from mmc.bench.workload import Measured

_LATER = 8


class Desk:
    """The state of one measuring process; its methods are what can be asked of it."""

    def __init__(self, dataset: Dataset) -> None:
        """No store is open."""
        self.dataset = dataset
        self._content = Content.drawn(dataset.seed)
        self._stores: dict[str, Store] = {}
        self._workloads: dict[str, Workload] = {}

    def open(self, where: Where) -> None:
        """Open a store under its column's name."""
        store = open_store(where, self.dataset, self._content)
        self._stores[where.column] = store
        self._workloads[where.column] = Workload(store, self.dataset, self._content, self.dataset.seed)

    def load(self, column: str) -> None:
        """Put every object into a store."""
        self._workloads[column].load()

    def warm_up(self, column: str) -> None:
        """Read the objects of the warm rows once."""
        self._workloads[column].warm_up()

    def can(self, column: str, row: Row) -> bool:
        """Whether a store has the operation of a row."""
        return self._workloads[column].can(row)

    def measure(self, column: str, row: Row, calls: int) -> Measured:
        """Time the calls of a row."""
        return self._workloads[column].measure(row, calls)

    def first_get(self, where: Where) -> float:
        """How fast the first get of this process is, as a share of its second: two large objects."""
        self.open(where)
        row = Row("first", "first get", Does.GET, part=Part.LARGE)
        first, second = self.measure(where.column, row, 2).nanoseconds
        return second / first

    def first_put(self, where: Where) -> float:
        """How fast the first put of this process is, as a share of later ones: large objects."""
        self.open(where)
        row = Row("first", "first put", Does.PUT, part=Part.LARGE)
        first, *later = self._workloads[where.column].measure(row, 1 + _LATER).nanoseconds
        return statistics.median(later) / first

    def connect(self, url: str) -> tuple[float, float]:
        """Seconds that connecting and closing take."""
        begun = perf_counter()
        client = Client(url)
        connected = perf_counter()
        client.close()
        return connected - begun, perf_counter() - connected

    def close(self) -> None:
        """Close every store."""
        for store in self._stores.values():
            store.close()
