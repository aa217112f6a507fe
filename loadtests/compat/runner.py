"""Runs a sequence on both servers and says where they differ."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field, replace
from typing import Callable, Sequence

from .client import Pair, Response
from .compare import Comparison, Difference, Exchange
from .deviations import Deviation, explain
from .profiles import Profile
from .steps import Memory, Request, Step
from .symbols import Symbols

_PARENTS = re.compile(r"/(buckets|collections|groups|records|accounts)/[^/]+")
_INDEX = re.compile(r"\[\d+\]")
_VOLATILE = re.compile(r"'[^']*'|\"[^\"]*\"|\d{6,}|[0-9a-f-]{32,}|n\d+z|/(buckets|collections|groups|records)/[\w-]+")
_USERS = ("mat", "alice", "bob")
_runs = itertools.count(1)


@dataclass
class Mismatch:
    """A step whose answers differ, unexplained."""

    index: int
    exchange: Exchange
    differences: list[Difference]

    def signature(self) -> tuple[str, ...]:
        """The same for differences that probably have the same cause."""
        first = self.differences[0]
        if self.is_only_header:
            return ("header", first.where.split("] ")[-1], _masked(first.kinto), _masked(first.ours))
        shape = _PARENTS.sub(r"/\1/*", self.exchange.sent.path)
        places = sorted({_INDEX.sub("[]", d.where) for d in self.differences})
        detail = ""
        if first.where.endswith("status"):
            detail = f"{_masked(first.kinto)}|{_masked(first.ours)}"
        if self.exchange.step.follow:
            shape += " (next page)"
        return (self.exchange.step.method, shape, detail, *places[:3])

    @property
    def is_only_header(self) -> bool:
        """Whether it is one header, without consequences for what follows."""
        return _is_header(self.differences[0])


def _is_header(difference: Difference) -> bool:
    return "header " in difference.where and not difference.where.endswith("etag")


def _masked(value: object) -> str:
    """Without what changes from run to run."""
    return _VOLATILE.sub("#", str(value)) if isinstance(value, str) else str(value)


def split(differences: Sequence[Difference]) -> list[list[Difference]]:
    """What belongs together: status, body and ETag; and each other header by itself."""
    serious = [d for d in differences if not _is_header(d)]
    headers: dict[str, list[Difference]] = {}
    for difference in differences:
        if _is_header(difference):
            headers.setdefault(difference.where.split("] ")[-1], [difference])
    return ([serious] if serious else []) + list(headers.values())


@dataclass
class Outcome:
    """What became of one sequence."""

    sent: int = 0
    equal: int = 0
    different: int = 0
    #: Requests whose differences are all explained, by the deviation that explains the first.
    listed: dict[str, int] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    #: Whether the rest was left out, because the states of the servers differ.
    cut: bool = False


class Runner:
    """Sequences against one pair of servers."""

    def __init__(self, profile: Profile, pair: Pair, ignored: Sequence[str] = ()) -> None:
        self.profile = profile
        self.ignored = frozenset(f"header {name.lower()}" for name in ignored)
        self.pair = pair
        self.requests = 0
        self._can_flush: tuple[bool, ...] = (True, True)

    def run(self, steps: Sequence[Step], stop: Callable[[Mismatch], bool]) -> Outcome:
        """Sends the steps, in a fresh state, until a mismatch that `stop` wants."""
        namespace = "" if self.profile.has_fixed_names else f"n{next(_runs)}z"
        bucket_secret = self.profile.settings.get("default_bucket_hmac_secret", "")
        memories = [
            Memory(namespace, self.profile.policy, bucket_secret) for _ in range(2)
        ]
        comparison = Comparison(Symbols(), namespace)
        outcome = Outcome()
        before: list[Exchange] = []
        for index, step in enumerate(steps):
            exchange = self._ask(step, memories)
            if exchange is None:
                continue
            outcome.sent += 1
            found = [
                (one, difference) for one, difference in comparison.exchange(exchange)
                if difference.where.split("] ")[-1] not in self.ignored
            ]
            self._judge(index, exchange, found, before, outcome)
            before.append(exchange)
            mine = [mismatch for mismatch in outcome.mismatches if mismatch.index == index]
            if tainted(exchange) or any(stop(mismatch) for mismatch in mine):
                outcome.cut = index + 1 < len(steps)
                break
        self._clean_up(memories[0])
        return outcome

    def _ask(self, step: Step, memories: list[Memory]) -> Exchange | None:
        requests: list[Request | None] = [memory.resolve(step) for memory in memories]
        if requests[0] is None and requests[1] is None:
            return None
        self.requests += 1
        answers = self.pair.ask(requests[0], requests[1])
        for memory, request, answer in zip(memories, requests, answers):
            if request is not None:
                memory.learn(request.path, step.method, answer.headers, answer.body)
        sent = requests[0] or requests[1]
        assert sent is not None
        same = step.method == "HEAD" and self._lengths_of_get(requests, answers)
        includes = self.profile.settings.get("includes", "")
        return Exchange(step, sent, answers[0], answers[1], same, includes)

    def _lengths_of_get(
        self, requests: Sequence[Request | None], heads: Sequence[Response]
    ) -> bool:
        """Whether each HEAD tells the length of what GET sends, where the two differ."""
        lengths = [head.headers.get("content-length") for head in heads]
        if lengths[0] == lengths[1]:
            return False
        gets = [one and replace(one, method="GET") for one in requests]
        told = [answer.headers.get("content-length") for answer in self.pair.ask(gets[0], gets[1])]
        return told == lengths

    @staticmethod
    def _judge(
        index: int,
        exchange: Exchange,
        found: list[tuple[Exchange, Difference]],
        before: list[Exchange],
        outcome: Outcome,
    ) -> None:
        if not found:
            outcome.equal += 1
            return
        reasons: list[Deviation] = []
        unexplained: list[Difference] = []
        for one, difference in found:
            # A request of a batch comes after the batch's others, as far as anybody can tell.
            deviation = explain(one, difference, before if one is exchange else [*before, exchange])
            if deviation is None:
                unexplained.append(difference)
            else:
                reasons.append(deviation)
        if unexplained:
            outcome.different += 1
            outcome.mismatches.extend(Mismatch(index, exchange, d) for d in split(unexplained))
        else:
            name = reasons[0].name
            outcome.listed[name] = outcome.listed.get(name, 0) + 1

    # -- state ------------------------------------------------------------------------------

    def _clean_up(self, memory: Memory) -> None:
        """Forgets what the sequence stored: with `__flush__` where a server has it."""
        if self.profile.settings.get("readonly") == "true":
            return
        flush = Request("POST", "/v1/__flush__", {}, None)
        answers = self.pair.ask(
            flush if self._can_flush[0] else None, flush if self._can_flush[1] else None
        )
        self._can_flush = tuple(answer.status == 202 for answer in answers)
        if all(self._can_flush):
            return
        steps = [Step("DELETE", "/buckets", user) for user in _USERS]
        if self.profile.policy == "account":
            steps.append(Step("DELETE", "/accounts", "admin"))
        for step in steps:
            request = memory.resolve(step)
            self.pair.ask(
                None if self._can_flush[0] else request, None if self._can_flush[1] else request
            )


def tainted(exchange: Exchange) -> bool:
    """Whether one server stored something that the other did not: what follows means nothing."""
    if exchange.step.method in ("GET", "HEAD", "OPTIONS"):
        return min(exchange.kinto.status, exchange.ours.status) == 0
    if exchange.sent.path == "/batch":
        return _statuses(exchange.kinto) != _statuses(exchange.ours)
    return _stored(exchange.kinto.status) != _stored(exchange.ours.status)


def _stored(status: int) -> bool:
    return 200 <= status < 300


def _statuses(response: Response) -> list[bool]:
    responses = response.body.get("responses", []) if isinstance(response.body, dict) else []
    return [_stored(one.get("status", 0)) for one in responses if isinstance(one, dict)]
