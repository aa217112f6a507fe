"""Scripted cases: the traps and tables of the specification as sequences of requests."""

from __future__ import annotations

from typing import Iterator

from ..profiles import Profile
from . import (
    accounts,
    batches,
    bodies,
    default_bucket,
    history,
    lists,
    objects,
    patches,
    permissions,
    preconditions,
    schemas,
    service,
    settings,
)
from .base import Case

__all__ = ["Case", "cases_for"]

_MODULES = (
    service,
    objects,
    bodies,
    preconditions,
    patches,
    lists,
    permissions,
    batches,
    schemas,
    history,
    default_bucket,
    accounts,
    settings,
)


def cases_for(profile: Profile, preparing: bool = False) -> list[Case]:
    """The cases of a profile; `preparing`: those that run before it starts for good."""
    return [case for case in _all() if profile.name in case.profiles and case.prepares == preparing]


def _all() -> Iterator[Case]:
    for module in _MODULES:
        yield from module.cases()
