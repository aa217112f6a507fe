"""Which timestamp and which generated id of one server is which of the other.

Two servers that agree give out different timestamps and ids, yet always in the same places: the
first pair met is believed, and every later one must fit. Timestamps belong to a clock (the list
they are in); within a clock, also their order must be the same on both sides.
"""

from __future__ import annotations

import bisect
import re
import time

_PLURAL = ("buckets", "collections", "groups", "records", "history", "accounts")
_UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")
_SHORT = re.compile(r"^[A-Za-z0-9][A-Za-z0-9_-]{7}$")

#: Values this near to now are timestamps, and differ; others are numbers, and must be equal.
WINDOW_MS = 3 * 3_600_000


def is_timestamp(value: object) -> bool:
    """Whether the number was probably given out by a clock."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return abs(value - time.time() * 1000) < WINDOW_MS


def looks_generated(text: str) -> bool:
    """Whether the text has the form of a generated id."""
    return bool(_UUID.match(text) or _SHORT.match(text))


def clock_of(path: str) -> str | None:
    """The list whose clock dates what `path` (below `/v1`) shows."""
    segments = path.strip("/").split("/")
    if segments and segments[-1] in _PLURAL:
        return "/" + "/".join(segments)
    if len(segments) >= 2 and segments[-2] in _PLURAL:
        parent = segments[:-1] if segments[-2] != "accounts" else segments
        return "/" + "/".join(parent)
    return None


class Clock:
    """Pairs of timestamps of one list."""

    def __init__(self) -> None:
        self.to_ours: dict[int, int] = {}
        self.to_kinto: dict[int, int] = {}
        self._pairs: list[tuple[int, int]] = []

    def problem(self, kinto: int, ours: int) -> str | None:
        """Why the two cannot be the same moment."""
        if kinto in self.to_ours or ours in self.to_kinto:
            if self.to_ours.get(kinto) == ours:
                return None
            return "not the timestamp that was given before"
        at = bisect.bisect(self._pairs, (kinto, ours))
        if at > 0 and self._pairs[at - 1][1] > ours:
            return "an older timestamp than one that it should exceed"
        if at < len(self._pairs) and self._pairs[at][1] < ours:
            return "a newer timestamp than one that should exceed it"
        return None

    def bind(self, kinto: int, ours: int) -> None:
        """Remembers the pair."""
        if kinto not in self.to_ours and ours not in self.to_kinto:
            self.to_ours[kinto] = ours
            self.to_kinto[ours] = kinto
            bisect.insort(self._pairs, (kinto, ours))

    def unbind(self, kinto: int, ours: int) -> None:
        """Forgets a pair that `bind` added."""
        self.to_ours.pop(kinto, None)
        self.to_kinto.pop(ours, None)
        self._pairs.remove((kinto, ours))


class Symbols:
    """All pairs of one run of a sequence."""

    def __init__(self) -> None:
        self._clocks: dict[str, Clock] = {}
        self._loose: dict[int, set[int]] = {}
        self.ids: dict[str, str] = {}
        self._ids_back: dict[str, str] = {}
        self._undo: list[tuple[str, int, int]] = []
        self._together: list[tuple[set[int], set[int]]] = []

    def timestamp(self, clock: str | None, kinto: int, ours: int) -> str | None:
        """Binds two timestamps, or says why they do not fit. Without a clock, any will do."""
        if any(kinto in left and ours in right for left, right in self._together):
            return None
        if clock is None:
            known = self._loose.get(kinto)
            if known is not None and ours not in known:
                return "not the timestamp that was given before"
            self._loose.setdefault(kinto, set()).add(ours)
            return None
        scope = self._clocks.setdefault(clock, Clock())
        problem = scope.problem(kinto, ours)
        if problem is None:
            if kinto not in scope.to_ours:
                scope.bind(kinto, ours)
                self._undo.append((clock, kinto, ours))
            self._loose.setdefault(kinto, set()).add(ours)
        return problem

    def together(self, kinto: set[int], ours: set[int]) -> None:
        """These were given out at once, in no order: any of one side may be any of the other."""
        self._together.append((kinto, ours))

    def identifier(self, kinto: str, ours: str) -> bool:
        """Whether two generated ids are the same object, as far as was seen."""
        if kinto in self.ids or ours in self._ids_back:
            return self.ids.get(kinto) == ours
        self.ids[kinto] = ours
        self._ids_back[ours] = kinto
        return True

    def commit(self) -> None:
        """Keeps what the last answer bound."""
        self._undo.clear()

    def rollback(self) -> None:
        """Forgets the timestamps of an answer that differed."""
        for clock, kinto, ours in self._undo:
            self._clocks[clock].unbind(kinto, ours)
        self._undo.clear()

    def forget(self, prefix: str) -> None:
        """After a deletion: the clocks below start again."""
        for clock in [c for c in self._clocks if c == prefix or c.startswith(prefix + "/")]:
            del self._clocks[clock]

    def below(self, prefix: str) -> list[str]:
        """The clocks of lists inside the objects of the list `prefix`."""
        return [clock for clock in self._clocks if clock.startswith(prefix + "/")]
