"""Starting the dashboard and lab servers as child processes, and ending them with their parent."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import httpx

from mexclab.config import Settings
from mexclab.errors import ConfigError, PortInUse
from mexclab.notebook.mode import banner
from mexclab.notebook.serve import (
    HOST,
    beside,
    check_port,
    dashboards,
    desk_mode,
    environment,
    lab_command,
    voila_command,
)

READY_S = 60.0
STOP_S = 5.0


class DashServer:
    """A Voila server that lives no longer than this process."""

    def __init__(self, settings: Settings, port: int, log: Path, *, preheat: bool = False) -> None:
        self.url = f"http://{HOST}:{port}/"
        self._log = log
        log.parent.mkdir(parents=True, exist_ok=True)
        with log.open("w") as out:
            self._process = subprocess.Popen(
                voila_command(settings, port, preheat=preheat),
                env=environment(settings, os.environ),
                stdout=out,
                stderr=subprocess.STDOUT,
                preexec_fn=_end_with_parent(),
            )

    def wait_ready(self) -> None:
        """Return when it answers.

        Raises:
            ConfigError: it ended or did not answer in time; its log is named.
        """
        deadline = time.monotonic() + READY_S
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                raise ConfigError(
                    f"the dashboard server ended at once; its log is {self._log}", log=str(self._log)
                )
            try:
                httpx.get(f"{self.url}static/", timeout=1.0)
            except httpx.HTTPError:
                time.sleep(0.1)
            else:
                return
        raise ConfigError(f"the dashboard server did not answer in {READY_S:.0f} s; its log is {self._log}")

    def stop(self) -> None:
        self._process.terminate()
        try:
            self._process.wait(STOP_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait()


def start_dash(settings: Settings) -> DashServer:
    """The dashboard server of a demo, on the first free port from the one in the settings on."""
    return DashServer(settings, _free_port(settings.dash.port), settings.data / "dash.log", preheat=True)


def run_dash(settings: Settings) -> None:
    """Serve the dashboards in the foreground until Ctrl-C.

    Raises:
        PortInUse: something listens on the port of the settings.
    """
    url = f"http://{HOST}:{settings.dash.port}/"
    others = "".join(f"            {url}{name}\n" for name in beside(dashboards() / "desk.ipynb"))
    says = f"dashboards: {url} (Ctrl-C ends it)\n{others}"
    _foreground(voila_command(settings, settings.dash.port), settings, says)


def run_lab(settings: Settings) -> None:
    """Serve JupyterLab in the foreground until Ctrl-C; it prints the address with its token.

    Raises:
        PortInUse: something listens on the port of the settings.
    """
    _foreground(lab_command(settings, settings.dash.lab_port), settings, "")


def _foreground(command: list[str], settings: Settings, says: str) -> None:
    mode, _ = desk_mode(settings.data)
    sys.stdout.write(f"{banner(mode)}\n{says}")
    sys.stdout.flush()
    with subprocess.Popen(
        command, env=environment(settings, os.environ), preexec_fn=_end_with_parent()
    ) as server:
        try:
            server.wait()
        except KeyboardInterrupt:
            server.terminate()
            server.wait()


def _free_port(wanted: int, tries: int = 20) -> int:
    for port in range(wanted, wanted + tries):
        try:
            check_port(port)
        except PortInUse:
            continue
        return port
    raise PortInUse(
        f"Ports {wanted} to {wanted + tries - 1} on {HOST} are all in use; set MEXCLAB_DASH__PORT."
    )


def _end_with_parent() -> Callable[[], None] | None:
    """On Linux, have the kernel end the child when this process dies, even by kill -9."""
    if not sys.platform.startswith("linux"):
        return None
    prctl = ctypes.CDLL(None, use_errno=True).prctl
    parent_death_signal = 1
    return lambda: prctl(parent_death_signal, signal.SIGTERM)
