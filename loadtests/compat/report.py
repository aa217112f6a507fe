"""Counts, and the smallest sequences that differ, as text."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from typing import Sequence

from .deviations import DEVIATIONS
from .runner import Mismatch, Outcome
from .steps import Step


@dataclass
class Finding:
    """Differences that look alike."""

    profile: str
    origin: str
    steps: Sequence[Step]
    mismatch: Mismatch
    count: int = 1
    shrunk: bool = False


@dataclass
class Report:
    """What a whole run found."""

    sent: int = 0
    equal: int = 0
    different: int = 0
    cut: int = 0
    listed: dict[str, int] = field(default_factory=dict)
    findings: dict[tuple[str, ...], Finding] = field(default_factory=dict)
    profiles: dict[str, list[int]] = field(default_factory=dict)
    not_compared: dict[str, str] = field(default_factory=dict)
    started: float = field(default_factory=time.monotonic)

    def add(self, profile: str, origin: str, steps: Sequence[Step], outcome: Outcome) -> None:
        """Adds the outcome of one sequence."""
        self.sent += outcome.sent
        self.equal += outcome.equal
        self.different += len(outcome.mismatches)
        self.cut += outcome.cut
        counts = self.profiles.setdefault(profile, [0, 0])
        counts[0] += outcome.sent
        counts[1] += len(outcome.mismatches)
        for name, count in outcome.listed.items():
            self.listed[name] = self.listed.get(name, 0) + count
        for mismatch in outcome.mismatches:
            self._add_finding(profile, origin, steps[: mismatch.index + 1], mismatch)

    def _add_finding(
        self, profile: str, origin: str, steps: Sequence[Step], mismatch: Mismatch
    ) -> None:
        signature = mismatch.signature()
        known = self.findings.get(signature)
        if known is None:
            self.findings[signature] = Finding(profile, origin, steps, mismatch)
        else:
            known.count += 1
            if not known.shrunk and known.profile == profile and len(steps) < len(known.steps):
                known.steps, known.mismatch, known.origin = steps, mismatch, origin

    @property
    def agreement(self) -> float:
        """Percent of what is not a listed deviation."""
        compared = self.equal + self.different
        return 100.0 * self.equal / compared if compared else 100.0

    def text(self, most: int) -> str:
        """The report, with at most so many findings: the smallest first."""
        lines: list[str] = []
        findings = sorted(self.findings.values(), key=lambda f: (len(f.steps), -f.count))
        for number, finding in enumerate(findings[:most], 1):
            lines += ["", *self._finding(number, finding)]
        if len(findings) > most:
            lines += ["", f"… and {len(findings) - most} more kinds of differences (--show N)."]
        lines += ["", "Profiles (requests, differences):"]
        for name, (sent, different) in self.profiles.items():
            lines.append(f"  {name:18}{sent:7}{different:7}")
        for name, reason in self.not_compared.items():
            lines.append(f"  {name:18}not compared: {reason}")
        if self.listed:
            lines += ["", "Listed deviations (docs/compatibility.md):"]
            reasons = {d.name: f"{d.reason} (§{d.section})" for d in DEVIATIONS}
            for name, count in sorted(self.listed.items(), key=lambda item: -item[1]):
                lines.append(f"  {count:6}  {name}: {reasons[name]}")
        listed = sum(self.listed.values())
        seconds = time.monotonic() - self.started
        lines += [
            "",
            f"{self.sent} requests in {seconds:.0f} s: {self.equal} equal, {listed} listed "
            f"deviations, {self.different} differences of {len(self.findings)} kinds; "
            f"{self.cut} sequences ended early.",
            f"Agreement: {self.agreement:.3f} %",
        ]
        return "\n".join(lines)

    @staticmethod
    def _finding(number: int, finding: Finding) -> list[str]:
        small = "" if finding.shrunk else ", not shrunk"
        lines = [
            f"--- {number}. {finding.count} times; profile {finding.profile}, "
            f"{finding.origin}{small}"
        ]
        lines += [f"  {step.describe()}" for step in finding.steps]
        lines += [f"    => {d.describe()}" for d in finding.mismatch.differences[:6]]
        return lines
