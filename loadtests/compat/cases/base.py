"""What case files share: a case, the usual objects, and the steps that make them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Sequence

from ..steps import NS, Step, put

B = f"/buckets/b{NS}"
C = f"{B}/collections/c"
R = f"{C}/records"
G = f"{B}/groups"

JSON = "application/json"
MERGE = "application/merge-patch+json"
JSON_PATCH = "application/json-patch+json"


@dataclass(frozen=True)
class Case:
    """A named sequence."""

    name: str
    steps: Sequence[Step]
    profiles: tuple[str, ...] = ("core",)
    prepares: bool = False


def bucket(**rest: object) -> list[Step]:
    """A bucket of mat's."""
    return [put(B, **rest)]  # type: ignore[arg-type]


def collection(**rest: object) -> list[Step]:
    """A bucket and a collection of mat's; `rest` goes to the collection."""
    return [put(B), put(C, **rest)]  # type: ignore[arg-type]


def records(*data: dict[str, object]) -> list[Step]:
    """A collection with the records r1, r2, … that have these data."""
    steps = collection()
    for number, one in enumerate(data, 1):
        steps.append(put(f"{R}/r{number}", one))
    return steps
