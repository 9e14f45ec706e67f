"""The life of a store: set up, opened, used by many threads, closed; and how its calls become codes."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING, NoReturn

from mmc.arguments import whole_number
from mmc.errors import CacheError, Code, InvalidArgument
from mmc.failures import report, report_codes, report_fault
from mmc.opened_store import OpenedStore
from mmc.property_file import local_config_from
from mmc.settings import LocalConfig, check_local

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

UNKNOWN_ID = 4294967295


class StoreLife:
    """What every store has, whatever its calls are."""

    def __init__(self) -> None:
        """Neither set up nor open."""
        self._config: LocalConfig | None = None
        self._opened: OpenedStore | None = None
        self._lock = threading.Lock()

    def __reduce__(self) -> NoReturn:
        """Refused: a connection is this process's.

        Raises:
            TypeError: always.
        """
        raise TypeError("a store cannot be pickled: make and init one in each process")

    def setup(self, config: LocalConfig) -> int:
        """Take settings, for the next :meth:`init`.

        Returns:
            0; -3000, a setting is wrong, or asks for what is not built.
        """
        try:
            if not isinstance(config, LocalConfig):
                raise InvalidArgument(f"setup takes a LocalConfig, not {type(config).__name__}")
            check_local(config)
        except CacheError as error:
            return report(error)
        self._config = config
        return 0

    def init(self, device_id: int, init_bm: bool = True) -> int:
        """Connect; with ``init_bm`` contribute ``dram_size`` of memory as a rank.

        The rank is a process of its own, which ends with this one.  Without :meth:`setup` the file that
        ``MMC_LOCAL_CONFIG_PATH`` names is read.

        Args:
            device_id: the device, from 0; without devices it means nothing.
            init_bm: whether to contribute memory.

        Returns:
            0, also where the store is open; -3000 wrong settings; -3001 too little memory; -3002 the rank
            cannot be made; -3008 neither set up nor configured; -3013 too many ranks; -3017 no answer from
            the meta service.
        """
        with self._lock:
            if self._opened is not None:
                return 0
            try:
                whole_number(device_id, "device_id", 0)
                self._opened = OpenedStore(self._config or local_config_from(), own_rank=bool(init_bm))
            except CacheError as error:
                return report(error)
        return 0

    def close(self) -> int:
        """Give everything back and end the own rank, within 100 ms; 0, also the second time.

        Open writes are abandoned; addresses mean nothing afterwards.
        """
        with self._lock:
            opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()
        return 0

    def get_local_service_id(self) -> int:
        """The rank of the own local service, else a rank of this host; 4294967295 before :meth:`init`."""
        opened = self._opened
        return UNKNOWN_ID if opened is None else opened.rank()

    def _open(self) -> OpenedStore:
        opened = self._opened
        if opened is None:
            raise CacheError("the store is not open: call init", Code.CLIENT_CLOSED)
        return opened

    def _codes(self, keys: Sequence[object], call: Callable[[OpenedStore], Sequence[int]]) -> list[int]:
        """One code per key; what concerns all of them stands in each place."""
        count = len(keys)
        try:
            opened = self._open()
            codes = [int(code) for code in call(opened)]
        except CacheError as error:
            return [report(error)] * count
        except TypeError:
            raise
        except Exception:  # boundary: the caller is given a code, and the log the stack
            return [report_fault()] * count
        report_codes(keys, [min(0, code) for code in codes], opened.client.connection.obstacle())
        return codes

    def _code(self, key: object, call: Callable[[OpenedStore], Sequence[int]]) -> int:
        """The code of one key."""
        return self._codes([key], call)[0]
