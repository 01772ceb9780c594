"""Stops the embedded server once nobody is attached to it any more, however they went.

Run as a script, in a process of its own, by whoever started the server: everyone who uses the server
holds a shared lock on one file, the kernel drops that lock even at kill -9, and this process waits for the
exclusive one. Standard library only, so that waiting costs little.
"""

from __future__ import annotations

import contextlib
import fcntl
import os
import subprocess
import sys
from typing import Any


def stop(pg_ctl: str, cluster: str, socket_dir: str, owner: tuple[int, int] | None) -> None:
    """Stop the server of a cluster in an orderly way, and remove its socket's folder if that is another.

    Args:
        owner: the user and group that the server runs as, when we are root.
    """
    command = [pg_ctl, "-D", cluster, "-m", "fast", "-w", "-t", "60", "stop"]
    env = {"PATH": os.environ.get("PATH", ""), "LC_ALL": "C"}
    as_owner: dict[str, Any] = {"user": owner[0], "group": owner[1], "extra_groups": []} if owner else {}
    quiet: dict[str, Any] = {
        "stdin": subprocess.DEVNULL,
        "stdout": subprocess.DEVNULL,
        "stderr": subprocess.DEVNULL,
    }
    subprocess.run(command, env=env, cwd="/", check=False, **quiet, **as_owner)
    with contextlib.suppress(OSError):  # the cluster itself is never empty
        os.rmdir(socket_dir)


def main(attached: str, pg_ctl: str, cluster: str, socket_dir: str, owner: str) -> None:
    """Leave the caller's process group, wait until nobody holds ``attached``, and stop the server."""
    if os.fork():
        os._exit(0)  # the caller waits for this one only
    os.setsid()
    with open(attached, "rb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            is_ours = os.path.samestat(os.fstat(lock.fileno()), os.stat(attached))
        except FileNotFoundError:
            is_ours = False  # the folder was deleted, and another server may live at its path by now
        if is_ours:
            uid, _, gid = owner.partition(":")
            stop(pg_ctl, cluster, socket_dir, (int(uid), int(gid)) if owner else None)


if __name__ == "__main__":
    main(*sys.argv[1:6])
