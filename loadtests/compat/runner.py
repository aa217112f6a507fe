"""Runs a sequence on both servers and says where they differ."""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass, field
from typing import Sequence

from .client import Pair, Response
from .compare import Comparison, Difference, Exchange
from .deviations import Deviation, explain
from .profiles import Profile
from .steps import Memory, Request, Step
from .symbols import Symbols

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
        path = self.exchange.sent.path
        shape = re.sub(r"/(buckets|collections|groups|records|accounts)/[^/]+", r"/\1/*", path)
        first = self.differences[0]
        places = sorted({re.sub(r"\[\d+\]", "[]", d.where) for d in self.differences})
        detail = ""
        if first.where.endswith("status"):
            detail = f"{first.kinto}|{first.ours}"
            detail = re.sub(r"\d{6,}|[0-9a-f-]{32,}|b\w*\d+\w*", "#", detail)
        if self.exchange.step.follow:
            shape += " (next page)"
        return (self.exchange.step.method, shape, detail, *places[:3])


@dataclass
class Outcome:
    """What became of one sequence."""

    sent: int = 0
    equal: int = 0
    #: Requests whose differences are all explained, by the deviation that explains the first.
    listed: dict[str, int] = field(default_factory=dict)
    mismatches: list[Mismatch] = field(default_factory=list)
    #: Whether the rest was left out, because the states of the servers differ.
    cut: bool = False


class Runner:
    """Sequences against one pair of servers."""

    def __init__(self, profile: Profile, pair: Pair) -> None:
        self.profile = profile
        self.pair = pair
        self.requests = 0
        self._can_flush: bool | None = None

    def run(self, steps: Sequence[Step], stop_at_first: bool) -> Outcome:
        """Sends the steps, in a fresh state."""
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
            found = comparison.exchange(exchange)
            self._judge(index, exchange, found, before, outcome)
            before.append(exchange)
            if tainted(exchange) or (stop_at_first and outcome.mismatches):
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
        return Exchange(step, sent, answers[0], answers[1])

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
            deviation = explain(one, difference, before)
            if deviation is None:
                unexplained.append(difference)
            else:
                reasons.append(deviation)
        if unexplained:
            outcome.mismatches.append(Mismatch(index, exchange, unexplained))
        else:
            name = reasons[0].name
            outcome.listed[name] = outcome.listed.get(name, 0) + 1

    # -- state ------------------------------------------------------------------------------

    def _clean_up(self, memory: Memory) -> None:
        """Forgets what the sequence stored: with `__flush__` where both servers have it."""
        if self.profile.settings.get("readonly") == "true":
            return
        if self._can_flush is not False:
            flush = Request("POST", "/v1/__flush__", {}, None)
            answers = self.pair.ask(flush, flush)
            self._can_flush = all(answer.status == 202 for answer in answers)
            if self._can_flush:
                return
        steps = [Step("DELETE", "/buckets", user) for user in _USERS]
        if self.profile.policy == "account":
            steps.append(Step("DELETE", "/accounts", "admin"))
        for step in steps:
            request = memory.resolve(step)
            assert request is not None
            self.pair.ask(request, request)


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
