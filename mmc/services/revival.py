"""Starting again what has died: the same for ``mmc up`` and for services that a program hosts."""

from __future__ import annotations

from typing import TYPE_CHECKING

from mmc.descriptors import explained
from mmc.errors import CacheError
from mmc.zeromq.clock import now

if TYPE_CHECKING:
    from collections.abc import Callable

    from mmc.log import ServiceLog
    from mmc.services.child import Child


def hear(child: Child, log: ServiceLog) -> None:
    """What a child says of its start; it is not waited for: it may need another that is dead, too."""
    if child.ready_end is None:
        return
    try:
        child.hear()
    except CacheError as error:
        log.warning("service did not start", service=child.name, reason=error.sentence)


def note_death(child: Child, log: ServiceLog) -> bool:
    """A child is dead; False if that was noted before."""
    if child.restart_at is not None:
        return False
    death = child.note_death()
    if death.is_usual:
        log.error("service dies again and again", service=child.name, **death.fields())
    else:
        log.warning("service died", service=child.name, **death.fields())
    return True


def start_if_due(child: Child, log: ServiceLog, start: Callable[[], None]) -> None:
    """Start a dead child again, now that its pause is over; what cannot be started waits once more."""
    if child.restart_at is None or child.restart_at > now():
        return
    try:
        start()
    except OSError as reason:
        log.warning("service did not start", service=child.name, reason=explained(reason))
        child.note_death()
