"""``mexclab halt`` in a hurry: with the standard library alone, and little of it.

Half a second of imports is what the command line takes elsewhere, and several times that on a machine that
is busy, which is when people want to halt. Whatever is not plain here (options, no desk, no answer) goes the
long way; a halt that is asked for twice does no harm.
"""

from __future__ import annotations

import json
import os
import socket
import sys
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

ANSWER_S = 2.0
LONGEST = 1_000_000  # bytes of an answer
NAME = "mexclab.toml"


def hurried(words: Sequence[str], environ: Mapping[str, str]) -> int | None:
    """Halt the desk if ``words`` are ``halt`` and a reason and it answers; its exit code, None: the long way.

    Args:
        words: of the command line, without the program's name.
    """
    if not words or words[0] != "halt" or any(word.startswith("-") for word in words):
        return None
    why = " ".join(words[1:]).strip() or _no_reason()
    try:
        folder = _folder(environ)
        told = json.loads((folder / "daemon.json").read_text(encoding="utf-8"))
        token = (folder / "daemon.token").read_text(encoding="utf-8").strip()
        message = _ask(str(told["url"]), token, json.dumps({"by": _user(environ), "why": why}))
    except (OSError, ValueError, LookupError, TypeError, RuntimeError):
        return None
    if message is None:
        return None
    from mexclab.notebook.mode import before  # when it is done: nothing waits for it any more

    sys.stdout.write(f"{before(str(told.get('mode', '')), message)}\n")
    return 0


def _no_reason() -> str:
    from mexclab.runtime.halt_file import NO_REASON

    return NO_REASON


def _folder(environ: Mapping[str, str]) -> Path:
    """The data folder as the settings have it (``mexclab.config.loading``).

    Raises:
        OSError, ValueError, RuntimeError, TypeError: it takes more than this to find out.
    """
    if named := environ.get("MEXCLAB_DATA", "").strip():
        return Path(named).expanduser()
    import platformdirs

    usual = Path(platformdirs.user_data_dir("mexclab", appauthor=False))
    asked = environ.get("MEXCLAB_CONFIG", "").strip()
    places = [Path(asked).expanduser()] if asked else [Path.cwd() / NAME, usual / NAME]
    file = next((place for place in places if place.is_file()), None)
    if file is None:
        return usual
    import tomllib

    return Path(tomllib.loads(file.read_text(encoding="utf-8")).get("data", usual)).expanduser()


def _ask(url: str, token: str, body: str) -> str | None:
    """What the desk says once it is halted; None: it did not say that."""
    host, _, port = url.removeprefix("http://").rstrip("/").rpartition(":")
    lines = (
        "POST /halt HTTP/1.1", f"Host: {host}:{port}", f"Authorization: Bearer {token}",
        "Content-Type: application/json", f"Content-Length: {len(body)}", "Connection: close", "", body,
    )  # fmt: skip
    ends_s = time.monotonic() + ANSWER_S
    answer = b""
    with socket.create_connection((host.strip("[]"), int(port)), ANSWER_S) as line:
        line.sendall("\r\n".join(lines).encode())
        while (left_s := ends_s - time.monotonic()) > 0 and len(answer) < LONGEST:
            line.settimeout(left_s)
            if not (piece := line.recv(65_536)):
                break
            answer += piece
    head, _, told = answer.partition(b"\r\n\r\n")
    if head.split(b" ", 2)[1:2] != [b"200"]:
        return None
    said = json.loads(told)
    return str(said["message"]) if said["halted"] is True else None


def _user(environ: Mapping[str, str]) -> str:
    """As ``getpass`` finds it, for the journal."""
    for name in ("LOGNAME", "USER", "LNAME", "USERNAME"):
        if user := environ.get(name):
            return user
    import pwd

    return pwd.getpwuid(os.getuid()).pw_name
