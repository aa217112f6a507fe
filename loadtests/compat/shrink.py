"""Makes a sequence that differs as small as it gets, by running parts of it again."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, Iterator, Sequence

from .runner import Mismatch, Runner
from .steps import NOTHING, Step

#: Requests that one sequence may cost.
BUDGET = 900


class Shrinker:
    """Delta debugging: first whole steps, then what is in them."""

    def __init__(self, runner: Runner, signature: tuple[str, ...]) -> None:
        self.runner = runner
        self.signature = signature
        self._spent = 0

    def shrink(self, steps: Sequence[Step]) -> tuple[list[Step], Mismatch | None]:
        """The smallest sequence found that still differs in the same way at its end."""
        current = list(steps)
        best = self._try(current)
        if best is None:
            return current, None
        current = current[: best.index + 1]
        for simpler in (self._drop_steps, self._drop_parts):
            current, best = simpler(current, best)
        return current, best

    def _try(self, steps: Sequence[Step]) -> Mismatch | None:
        if self._spent > BUDGET:
            return None
        before = self.runner.requests
        outcome = self.runner.run(steps, stop_at_first=True)
        self._spent += self.runner.requests - before
        for mismatch in outcome.mismatches:
            if mismatch.signature() == self.signature:
                return mismatch
        return None

    def _drop_steps(self, steps: list[Step], best: Mismatch) -> tuple[list[Step], Mismatch]:
        size = max(1, len(steps) // 2)
        while True:
            start = 0
            while start < len(steps) - 1:
                candidate = steps[:start] + steps[min(start + size, len(steps) - 1):]
                found = self._try(candidate)
                if found is None:
                    start += size
                else:
                    steps, best = candidate[: found.index + 1], found
            if size == 1:
                return steps, best
            size //= 2

    def _drop_parts(self, steps: list[Step], best: Mismatch) -> tuple[list[Step], Mismatch]:
        index = len(steps) - 1
        while index >= 0:
            for simpler in simpler_steps(steps[index]):
                candidate = [*steps[:index], simpler, *steps[index + 1:]]
                found = self._try(candidate)
                if found is not None and found.index == len(candidate) - 1:
                    steps, best = candidate, found
                    break
            else:
                index -= 1
        return steps, best


def simpler_steps(step: Step) -> Iterator[Step]:
    """Steps with one thing less."""
    for name in step.headers:
        yield replace(step, headers={k: v for k, v in step.headers.items() if k != name})
    path, mark, query = step.path.partition("?")
    if mark:
        parts = query.split("&")
        for index in range(len(parts)):
            rest = "&".join(parts[:index] + parts[index + 1:])
            yield replace(step, path=f"{path}?{rest}" if rest else path)
    for body in simpler_values(step.body):
        yield replace(step, body=body)
    if isinstance(step.body, (dict, bytes)):
        yield replace(step, body=NOTHING)


def simpler_values(value: Any) -> Iterator[Any]:
    """JSON values with one member or item less, anywhere."""
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
        for key, inner in value.items():
            for simpler in simpler_values(inner):
                yield {**value, key: simpler}
    elif isinstance(value, list):
        for index in range(len(value)):
            yield value[:index] + value[index + 1:]
        for index, inner in enumerate(value):
            for simpler in simpler_values(inner):
                yield [*value[:index], simpler, *value[index + 1:]]
