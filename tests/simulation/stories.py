"""The story of a run: a bounded log of what happened, and a fingerprint of all of it."""

from __future__ import annotations

from collections import deque

from xxhash import xxh3_64

_REMEMBERED = 20000
_TOLD = 80
_DULL = {"HEARTBEAT", "PULSE", b"member\0"}


class Story:
    """What happened, in order."""

    def __init__(self) -> None:
        """Nothing yet."""
        self._lines: deque[tuple[float, str, tuple[object, ...]]] = deque(maxlen=_REMEMBERED)
        self._hash = xxh3_64()
        self.events = 0

    def add(self, now: float, kind: str, facts: tuple[object, ...]) -> None:
        """Something happened; bytes among the facts are keys, or messages."""
        self.events += 1
        self._lines.append((now, kind, facts))
        self._hash.update(repr((now, kind, facts)).encode())

    def fingerprint(self) -> str:
        """A number that two runs share only if everything happened alike."""
        return self._hash.hexdigest()

    def of(self, subject: object) -> str:
        """The last lines that mention a subject: a key, or a (rank, record)."""
        about = [line for line in self._lines if _mentions(line[2], subject) and not _is_dull(line[2])]
        return "\n".join(
            f"  {now:12.6f}  {kind:<12} {' '.join(map(_shown, facts))}" for now, kind, facts in about[-_TOLD:]
        )

    def tail(self, count: int = _TOLD) -> str:
        """The last lines."""
        return "\n".join(
            f"  {now:12.6f}  {kind:<12} {' '.join(map(_shown, facts))}"
            for now, kind, facts in self._telling()[-count:]
        )

    def _telling(self) -> list[tuple[float, str, tuple[object, ...]]]:
        return [line for line in self._lines if not _is_dull(line[2])]


def _is_dull(facts: tuple[object, ...]) -> bool:
    return any(fact in _DULL for fact in facts if isinstance(fact, str | bytes))


def _mentions(facts: object, subject: object) -> bool:
    if facts == subject:
        return True
    return isinstance(facts, tuple | list) and any(_mentions(fact, subject) for fact in facts)


def _shown(fact: object) -> str:
    return fact if isinstance(fact, str) else repr(fact)
