"""Databases and the two servers of a profile: started, waited for, ended."""

from __future__ import annotations

import os
import socket
import subprocess
import time
import urllib.parse
import urllib.request
from dataclasses import dataclass
from pathlib import Path

from .profiles import Profile

START_SECONDS = 60


class StartFailure(Exception):
    """A server that did not come up; the text has the end of its log."""


@dataclass(frozen=True)
class Programs:
    """What is run, and where."""

    #: The `bin` directory of the environment that Kinto is installed in.
    kinto_bin: Path
    #: The writer; None compares Kinto with itself.
    writer: Path | None
    psql: str
    #: URL of a database server where databases may be created.
    postgres_url: str
    directory: Path
    roles_sql: Path


class Database:
    """A database of its own, dropped with its server."""

    def __init__(self, programs: Programs, name: str) -> None:
        self.programs = programs
        self.name = name
        self._psql("postgres", f"drop database if exists {name}")
        self._psql("postgres", f"create database {name}")

    def psycopg_url(self) -> str:
        """As SQLAlchemy wants it: the socket's directory is a parameter."""
        split = urllib.parse.urlsplit(self.programs.postgres_url)
        user, _, host = split.netloc.rpartition("@")
        if "%2F" not in host:
            return f"postgresql://{split.netloc}/{self.name}"
        return f"postgresql://{user}@/{self.name}?host={urllib.parse.unquote(host)}"

    def url(self) -> str:
        """As libpq and the writer want it."""
        split = urllib.parse.urlsplit(self.programs.postgres_url)
        return f"postgresql://{split.netloc}/{self.name}"

    def prepare_roles(self) -> None:
        """What the writer's migration grants rights to."""
        self._psql(self.name, self.programs.roles_sql.read_text(encoding="utf-8"))

    def drop(self) -> None:
        """Forgets everything."""
        self._psql("postgres", f"drop database if exists {self.name} with (force)")

    def _psql(self, database: str, sql: str) -> None:
        split = urllib.parse.urlsplit(self.programs.postgres_url)
        url = f"postgresql://{split.netloc}/{database}"
        subprocess.run(
            [self.programs.psql, "-XqAt", "-v", "ON_ERROR_STOP=1", url],
            input=sql, text=True, check=True, stdout=subprocess.DEVNULL,
            env={**os.environ, "PGOPTIONS": "-c client_min_messages=warning"},
        )


class Server:
    """A process that answers on a port."""

    def __init__(self, name: str, port: int, log: Path) -> None:
        self.name = name
        self.port = port
        self.log = log
        self._process: subprocess.Popen[bytes] | None = None

    def start(self, command: list[str], environment: dict[str, str]) -> None:
        """Starts it; should this program be killed, the kernel ends it, too."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "TERM", "--", *command],
                stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                env={**os.environ, **environment}, start_new_session=True,
            )
        deadline = time.monotonic() + START_SECONDS
        while not self._answers():
            if self._process.poll() is not None:
                raise StartFailure(f"{self.name} ended while starting:\n{self.end_of_log()}")
            if time.monotonic() > deadline:
                self.stop()
                raise StartFailure(f"{self.name} did not answer:\n{self.end_of_log()}")
            time.sleep(0.05)

    def _answers(self) -> bool:
        url = f"http://127.0.0.1:{self.port}/v1/__lbheartbeat__"
        try:
            opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
            with opener.open(url, timeout=2):
                return True
        except OSError:
            return False

    def is_running(self) -> bool:
        """Whether the process lives."""
        return self._process is not None and self._process.poll() is None

    def end_of_log(self, lines: int = 15) -> str:
        """The last lines of its log."""
        try:
            text = self.log.read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""
        return "\n".join("    " + line[:400] for line in text.splitlines()[-lines:])

    def stop(self) -> None:
        """Ends the process and waits for it."""
        if self._process is None:
            return
        self._process.terminate()
        try:
            self._process.wait(timeout=15)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()
        self._process = None


class Stack:
    """Kinto and the other server with one profile, each on a database of its own."""

    def __init__(self, programs: Programs, profile: Profile) -> None:
        self.programs = programs
        self.profile = profile
        name = profile.name.replace("-", "_")
        self._databases = {
            side: Database(programs, f"compat_{name}_{side}") for side in ("kinto", "ours")
        }
        ports = free_ports(2)
        logs = programs.directory
        self.kinto = Server("Kinto", ports[0], logs / f"{profile.name}-kinto.log")
        other = "the writer" if programs.writer else "the second Kinto"
        self.ours = Server(other, ports[1], logs / f"{profile.name}-ours.log")
        self._migrated = False

    def start(self, preparing: bool = False) -> None:
        """Starts both with the same file."""
        try:
            self._start_kinto("kinto", self.kinto, preparing)
            if self.programs.writer is None:
                self._start_kinto("ours", self.ours, preparing)
            else:
                self._start_writer(self.programs.writer, preparing)
        except (StartFailure, subprocess.CalledProcessError):
            self.stop()
            raise
        self._migrated = True

    def _ini(self, side: str, port: int, preparing: bool) -> Path:
        file = self.programs.directory / f"{self.profile.name}-{side}.ini"
        self.profile.write(file, port, self._databases[side].psycopg_url(), preparing)
        return file

    def _start_kinto(self, side: str, server: Server, preparing: bool) -> None:
        ini = self._ini(side, server.port, preparing)
        kinto = str(self.programs.kinto_bin / "kinto")
        if not self._migrated:
            # A read-only server refuses to migrate.
            migrate = self.programs.directory / f"{self.profile.name}-{side}-migrate.ini"
            self.profile.write(migrate, server.port, self._databases[side].psycopg_url(), True)
            run_logged([kinto, "migrate", "--ini", str(migrate)], {}, server)
        server.start([kinto, "start", "--ini", str(ini)], {"PYTHONWARNINGS": "ignore"})

    def _start_writer(self, writer: Path, preparing: bool) -> None:
        # The very file that Kinto reads, which says where Kinto listens and stores.
        ini = self.programs.directory / f"{self.profile.name}-kinto.ini"
        database = self._databases["ours"]
        environment = {
            "COUNTERSIGN_STORAGE_URL": database.url(),
            "COUNTERSIGN_LOG_REQUESTS": "errors",
            "COUNTERSIGN_LOG_FORMAT": "text",
            "NO_COLOR": "1",
        }
        if not self._migrated:
            database.prepare_roles()
            run_logged([str(writer), "migrate", "--config", str(ini)], environment, self.ours)
        listen = f"127.0.0.1:{self.ours.port}"
        command = [str(writer), "serve", "--config", str(ini), "--listen", listen]
        self.ours.start(command, environment)

    def stop(self) -> None:
        """Ends both."""
        self.kinto.stop()
        self.ours.stop()

    def drop(self) -> None:
        """Forgets both databases."""
        for database in self._databases.values():
            database.drop()


def run_logged(command: list[str], environment: dict[str, str], server: Server) -> None:
    """Runs a command to its end, with the log of the server it belongs to."""
    with server.log.open("ab") as log:
        code = subprocess.run(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log,
            env={**os.environ, **environment}, check=False,
        ).returncode
    if code != 0:
        raise StartFailure(f"{' '.join(command[:2])} failed:\n{server.end_of_log()}")


def free_ports(count: int) -> list[int]:
    """Ports where nobody listens."""
    sockets = [socket.socket() for _ in range(count)]
    try:
        for one in sockets:
            one.bind(("127.0.0.1", 0))
        return [one.getsockname()[1] for one in sockets]
    finally:
        for one in sockets:
            one.close()
