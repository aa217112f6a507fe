"""`make clients`: the tests that clients of Kinto bring along, over the wire.

Each suite gets a server and a database of its own. `--against kinto` runs them against Kinto,
which tells a fault of the suite from one of the writer.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tarfile
from dataclasses import dataclass
from pathlib import Path
from typing import Callable

from compat.profiles import Profile
from compat.servers import Programs, Server, Stack, StartFailure

#: Tests of kinto.py that need the attachments plug-in, or another server's replies.
KINTO_HTTP_SUITES = ("tests/test_functional.py", "tests/test_functional_async.py")
#: The secret of the user ids that kinto-wizard's files name.
WIZARD_SECRET = "078168c268f4f2dd531a31ec7c2e7f44d97231fe2635d144cee99f38c311eefa"
ACCOUNTS = {
    "includes": "kinto.plugins.flush kinto.plugins.accounts",
    "paginate_by": "5",
    "multiauth.policies": "account",
    "multiauth.policy.account.use": "kinto.plugins.accounts.AccountsPolicy",
    "account_create_principals": "system.Everyone",
    "account_write_principals": "account:user",
    "bucket_create_principals": "account:user",
    "experimental_permissions_endpoint": "true",
}
BASICAUTH = {"includes": "kinto.plugins.flush", "multiauth.policies": "basicauth"}


@dataclass
class Context:
    """What suites need."""

    options: argparse.Namespace
    directory: Path
    server: Server

    @property
    def url(self) -> str:
        """The API's root."""
        return f"http://localhost:{self.server.port}/v1"

    def python(self, name: str) -> str:
        """A program of the environment with the clients."""
        return str(Path(self.options.clients_bin) / name)

    def run(self, command: list[str], where: Path, **environment: str) -> bool:
        """Runs a suite; True when it succeeds."""
        env = {**os.environ, "NO_PROXY": "*", "no_proxy": "*", **environment}
        return subprocess.run(command, cwd=where, env=env, check=False).returncode == 0


@dataclass(frozen=True)
class Suite:
    """Somebody's tests."""

    name: str
    profile: Profile
    run: Callable[[Context], bool]


def sources(context: Context, package: str) -> Path:
    """The source distribution of a package from PyPI, unpacked; it is never part of the project."""
    root = context.directory / "sources"
    root.mkdir(parents=True, exist_ok=True)
    stem = package.replace("-", "_").replace("==", "-")
    if not (root / stem).is_dir():
        pip = context.python("pip")
        subprocess.run(
            [pip, "download", "--quiet", "--disable-pip-version-check", "--no-deps",
             "--no-binary", ":all:", "--dest", str(root), package], check=True,
        )
        with tarfile.open(root / f"{stem}.tar.gz") as archive:
            archive.extractall(root, filter="data")
    return root / stem


def kinto_http(context: Context) -> bool:
    """The functional tests of kinto.py, synchronous and asynchronous."""
    where = sources(context, f"kinto-http=={context.options.kinto_http}")
    plugins = str(Path(__file__).resolve().parent)
    selected = ["-k", "not attachment"] if not context.options.attachments else []
    command = [context.python("pytest"), "-q", "-p", "server_url", "-p", "no:cacheprovider",
               *selected, *KINTO_HTTP_SUITES]
    return context.run(command, where, SERVER_URL=context.url, PYTHONPATH=plugins)


def kinto_wizard(context: Context) -> bool:
    """The functional tests of kinto-wizard."""
    where = sources(context, f"kinto-wizard=={context.options.kinto_wizard}")
    selected = ["-k", "not ttachment"] if not context.options.attachments else []
    command = [context.python("pytest"), "-q", "-p", "no:cacheprovider", *selected,
               "tests/test_functional.py"]
    return context.run(command, where, SERVER_URL=context.url)


def kinto_js(context: Context) -> bool:
    """Two devices with kinto.js; the seeds make other edits."""
    return all(
        context.run(["node", "kintojs.mjs", context.url, str(seed)], Path(context.options.node))
        for seed in range(1, context.options.seeds + 1)
    )


def schemathesis(context: Context) -> bool:
    """Generated requests against the OpenAPI document that the server shows."""
    command = [
        context.python("schemathesis"), "run", f"{context.url}/__api__", "--url", context.url,
        "--checks", "not_a_server_error,status_code_conformance,response_schema_conformance,"
        "content_type_conformance",
        "--max-examples", str(context.options.examples), "--header",
        "Authorization: Basic bWF0OnNlY3JldA==", "--exclude-path-regex", "__flush__",
        "--no-color", "--continue-on-failure",
    ]
    return context.run(command, context.directory)


SUITES = (
    Suite("kinto-http", Profile("kinto-http", {**ACCOUNTS}), kinto_http),
    Suite(
        "kinto-wizard",
        Profile("kinto-wizard", {
            **BASICAUTH,
            "userid_hmac_secret": WIZARD_SECRET,
            "experimental_collection_schema_validation": "true",
        }),
        kinto_wizard,
    ),
    Suite("kinto-js", Profile("kinto-js", {**BASICAUTH, "paginate_by": "20"}), kinto_js),
    Suite(
        "schemathesis",
        Profile("schemathesis", {
            "includes": "kinto.plugins.default_bucket kinto.plugins.history",
            "multiauth.policies": "basicauth",
            "experimental_permissions_endpoint": "true",
        }),
        schemathesis,
    ),
)


def main() -> int:
    """Runs the suites; 0 when all succeed."""
    options = arguments()
    directory = Path(options.directory).resolve()
    directory.mkdir(parents=True, exist_ok=True)
    programs = Programs(
        kinto_bin=Path(options.clients_bin),
        writer=Path(options.writer) if options.against == "writer" else None,
        psql=os.environ.get("PSQL", "psql"),
        postgres_url=os.environ["TEST_DATABASE_URL"],
        directory=directory,
        roles_sql=Path(options.roles_sql),
    )
    results = {
        suite.name: run_suite(suite, programs, options)
        for suite in SUITES
        if not options.suites or suite.name in options.suites.split(",")
    }
    print("\n" + "\n".join(f"{name:16}{result}" for name, result in results.items()))
    return 0 if all(result == "passed" for result in results.values()) else 1


def run_suite(suite: Suite, programs: Programs, options: argparse.Namespace) -> str:
    """Runs one suite against a fresh server."""
    print(f"=== {suite.name}", flush=True)
    stack = Stack(programs, suite.profile)
    try:
        server = stack.start_only_ours()
        passed = suite.run(Context(options, programs.directory, server))
        return "passed" if passed else "failed"
    except StartFailure as failure:
        print(failure, file=sys.stderr)
        return "the server did not start"
    except (OSError, subprocess.CalledProcessError) as problem:
        print(problem, file=sys.stderr)
        return "could not be run"
    finally:
        stack.stop()
        stack.drop()


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(prog="clients", description=__doc__)
    add = parser.add_argument
    add("--clients-bin", required=True, help="the `bin` directory with the Python clients")
    add("--node", default="", help="the directory where npm installed kinto")
    add("--writer", default="", help="the countersign-writer binary")
    add("--against", choices=("writer", "kinto"), default="writer")
    add("--roles-sql", default="deploy/roles.sql")
    add("--directory", default=".run/clients-run", help="sources, configurations and logs")
    add("--suites", default="", help="names, separated by commas; all by default")
    add("--kinto-http", default="11.11.0", help="its version")
    add("--kinto-wizard", default="6.0.1", help="its version")
    add("--attachments", action="store_true", help="also the tests that need attachments")
    add("--seeds", type=int, default=3, help="runs of the offline scenario")
    add("--examples", type=int, default=30, help="of schemathesis, for each operation")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
