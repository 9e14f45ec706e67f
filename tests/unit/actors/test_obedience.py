"""What a rank does when it is commanded."""

from mmc.actors.local.keeper import Keeper
from mmc.actors.local.obedience import Obedience
from mmc.config import load_config
from mmc.errors import Code
from mmc.segments import records
from mmc.wire.operations import CommandKind
from mmc.wire.replies import Commands
from tests.heap import TERM, heap_segment, store


def with_an_object() -> tuple[Keeper, int]:
    """A rank that has taken over one object, and the record of that."""
    segment = heap_segment()
    keeper = Keeper(segment, load_config().local)
    holder = keeper.attach(7)
    assert holder is not None
    record = keeper.reserve(holder, 64, grant=1)
    assert record is not None
    store(segment, record, b"key", 64)
    assert keeper.adopt(record)
    return keeper, record


def test_only_a_void_claim_is_removed_although_it_is_leased() -> None:
    """An eviction and a removal are refused; what a void claim published would stay, listed nowhere."""
    keeper, record = with_an_object()
    segment = keeper.segment
    records.store_lease(segment, record, 5_000)
    version = records.version_of(segment, record)
    assert version is not None
    generation = records.generation_of(segment, record)
    obedience = Obedience(keeper)
    for number, (kind, code) in enumerate(
        (
            (CommandKind.EVICT, Code.LEASED),
            (CommandKind.REMOVE, Code.LEASED),
            (CommandKind.REVOKE, Code.OK),
        ),
        1,
    ):
        command = Commands(3, TERM, number, (number,), (kind,), (record,), (generation,), (version,), (0,))
        (outcome,) = obedience.carry_out(command, 1_000)
        assert outcome.code == code
    assert not records.is_published(segment, record)


def test_leases_count_in_whatever_order_they_are_heard() -> None:
    """The longest holds, each counts once, and none that is older than the end of all."""
    keeper, record = with_an_object()
    segment = keeper.segment
    version = records.version_of(segment, record)
    assert version is not None
    generation = records.generation_of(segment, record)
    obedience = Obedience(keeper)

    def leased_after(number: int, kind: CommandKind, argument: int, now_ms: int) -> int:
        command = Commands(3, TERM, 1, (number,), (kind,), (record,), (generation,), (version,), (argument,))
        (outcome,) = obedience.carry_out(command, now_ms)
        assert outcome.code == Code.OK
        return records.lease_of(segment, record)

    assert leased_after(16, CommandKind.LEASE, 100, 1_000) == 1_102
    assert leased_after(15, CommandKind.LEASE, 1_000, 1_000) == 2_011
    assert leased_after(15, CommandKind.LEASE, 1_000, 1_900) == 2_011
    assert leased_after(14, CommandKind.UNLEASE, 0, 1_900) == 2_011
    assert leased_after(17, CommandKind.UNLEASE, 0, 1_900) == 0
    assert leased_after(13, CommandKind.LEASE, 1_000, 1_900) == 0
    assert leased_after(18, CommandKind.LEASE, 1_000, 2_000) == 3_011
