"""`make compat`: the same requests to Kinto and to the writer, and where the answers differ."""

from __future__ import annotations

import argparse
import os
import random
import sys
from pathlib import Path

from .cases import Case, cases_for
from .client import Pair
from .deviations import DEVIATIONS
from .generate import sequence
from .profiles import Profile, by_name
from .report import Report
from .runner import Runner
from .servers import Programs, Stack, StartFailure
from .shrink import Shrinker

#: Steps of one random sequence.
LENGTH = 40


def main() -> int:
    """Runs the comparison; 0 when all agree."""
    options = arguments()
    if options.list_deviations:
        for deviation in DEVIATIONS:
            print(f"| `{deviation.name}` | {deviation.reason} | {deviation.section} |")
        return 0
    programs = Programs(
        kinto_bin=Path(options.kinto_bin),
        writer=Path(options.writer) if options.against == "writer" else None,
        psql=os.environ.get("PSQL", "psql"),
        postgres_url=os.environ["TEST_DATABASE_URL"],
        directory=Path(options.directory),
        roles_sql=Path(options.roles_sql),
    )
    programs.directory.mkdir(parents=True, exist_ok=True)
    profiles = by_name(options.profiles)
    report = Report()
    try:
        for profile, budget in shares(profiles, options):
            compare_profile(programs, profile, budget, options, report)
    except KeyboardInterrupt:
        print("\nInterrupted: what was compared so far", file=sys.stderr)
    print(report.text(options.show))
    incomplete = report.not_compared and not options.allow_missing
    return 0 if not report.different and report.sent and not incomplete else 1


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="compat", description=__doc__)
    add = parser.add_argument
    add("--kinto-bin", default="", help="the `bin` directory of the environment with Kinto")
    add("--writer", default="", help="the countersign-writer binary")
    add("--roles-sql", default="deploy/roles.sql")
    add("--directory", default=".run/compat", help="configurations and logs")
    add("--against", choices=("writer", "kinto"), default="writer",
        help="`kinto` compares Kinto with itself, which tests this tool")
    add("--profiles", help="names, separated by commas; all by default")
    add("--requests", type=int, default=20_000, help="about so many in all")
    add("--seed", type=int, default=0, help="of the first random sequence; 0: by chance")
    add("--seeds", type=int, default=0, help="so many random sequences a profile, at most")
    add("--cases", default="", help="only scripted cases whose name has this text")
    add("--no-cases", action="store_true", help="random sequences only")
    add("--no-random", action="store_true", help="scripted cases only")
    add("--shrink", type=int, default=40, help="make so many kinds of differences small")
    add("--show", type=int, default=60, help="print so many kinds of differences")
    add("--allow-missing", action="store_true", help="a profile that does not start is no failure")
    add("--list-deviations", action="store_true", help="print the table of listed deviations")
    return parser.parse_args()


def shares(
    profiles: list[Profile], options: argparse.Namespace
) -> list[tuple[Profile, int]]:
    """How many random requests each profile gets, after its scripted cases."""
    scripted = sum(len(case.steps) for profile in profiles for case in chosen(profile, options))
    left = 0 if options.no_random or options.cases else max(0, options.requests - scripted)
    weights = sum(profile.weight for profile in profiles) or 1
    return [(profile, left * profile.weight // weights) for profile in profiles]


def chosen(profile: Profile, options: argparse.Namespace) -> list[Case]:
    """The scripted cases of a profile that were asked for."""
    if options.no_cases:
        return []
    return [case for case in cases_for(profile) if options.cases in case.name]


def compare_profile(
    programs: Programs, profile: Profile, budget: int, options: argparse.Namespace, report: Report
) -> None:
    """Starts both servers with the profile, and compares them."""
    cases = chosen(profile, options)
    if not cases and not budget:
        return
    stack = Stack(programs, profile)
    try:
        if profile.prepare is not None:
            stack.start(preparing=True)
            with_pair(stack, lambda runner: run_cases(runner, [prepare_case(profile)], report))
            stack.stop()
        stack.start()
        with_pair(stack, lambda runner: compare_with(runner, cases, budget, options, report))
    except StartFailure as failure:
        report.not_compared[profile.name] = str(failure).replace("\n", "\n      ")
        print(f"{profile.name}: not compared", flush=True)
    finally:
        stack.stop()
        stack.drop()


def with_pair(stack: Stack, action) -> None:  # type: ignore[no-untyped-def]
    """Runs `action` with connections to both servers."""
    pair = Pair(stack.kinto.port, stack.ours.port)
    try:
        action(Runner(stack.profile, pair))
    finally:
        pair.close()


def prepare_case(profile: Profile) -> Case:
    """What is stored before the servers start with the profile's own settings."""
    return next(case for case in cases_for(profile, preparing=True))


def compare_with(
    runner: Runner, cases: list[Case], budget: int, options: argparse.Namespace, report: Report
) -> None:
    """The scripted cases, the random sequences, and smaller forms of what differs."""
    name = runner.profile.name
    print(f"{name}: {len(cases)} scripted cases", end="", flush=True)
    run_cases(runner, cases, report)
    seed = options.seed or random.SystemRandom().randrange(1, 1_000_000)
    print(f", random sequences from seed {seed}", end="", flush=True)
    last = run_random(runner, seed, budget, options.seeds, report)
    print(f" to {last}, {report.profiles.get(name, [0, 0])[1]} differences", flush=True)
    shrink_findings(runner, options.shrink, report)


def run_cases(runner: Runner, cases: list[Case], report: Report) -> None:
    """Runs scripted cases."""
    for case in cases:
        outcome = runner.run(case.steps, stop_at_first=False)
        report.add(runner.profile.name, f"case {case.name}", case.steps, outcome)


def run_random(runner: Runner, seed: int, budget: int, seeds: int, report: Report) -> int:
    """Runs random sequences until the budget is used; returns the last seed."""
    spent = 0
    first = seed
    while spent < budget and (not seeds or seed - first < seeds):
        steps = sequence(random.Random(seed), runner.profile, LENGTH)
        outcome = runner.run(steps, stop_at_first=True)
        report.add(runner.profile.name, f"seed {seed}", steps, outcome)
        spent += max(1, outcome.sent)
        seed += 1
    return seed - 1


def shrink_findings(runner: Runner, most: int, report: Report) -> None:
    """Makes the findings of this profile small, the most frequent first."""
    mine = [
        (signature, finding)
        for signature, finding in report.findings.items()
        if finding.profile == runner.profile.name and not finding.shrunk
    ]
    mine.sort(key=lambda item: -item[1].count)
    for signature, finding in mine[:most]:
        steps, mismatch = Shrinker(runner, signature).shrink(finding.steps)
        if mismatch is not None:
            finding.steps, finding.mismatch, finding.shrunk = steps, mismatch, True


if __name__ == "__main__":
    sys.exit(main())
