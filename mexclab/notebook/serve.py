"""Voila and JupyterLab as mexclab runs them: on loopback, offline, and without a key in reach.

::

    python -m mexclab.notebook.serve voila ARGUMENTS   what voila_command() builds
    python -m mexclab.notebook.serve lab ARGUMENTS     what lab_command() builds

Both servers are started through this module, so that every kernel inherits an environment of
named variables only, finds our Voila template, and does not pay for an import that nobody uses.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from mexclab.errors import ConfigError, DaemonUnreachable, PortInUse
from mexclab.notebook.address import address_in, data_folder
from mexclab.notebook.mode import mode_words

if TYPE_CHECKING:
    from mexclab.config import Settings

HOST = "127.0.0.1"
TEMPLATES = Path(__file__).parent / "template"
EXTENSIONS = (
    "anywidget",
    "jupyterlab-plotly",
    "@voila-dashboards/widgets-manager8",
    "@jupyter-widgets/jupyterlab-manager",
)
"""All that a dashboard loads into the browser. Without a list Voila loads every installed extension."""

OWN_SOCKETS = ("--KernelManager.transport=ipc",) if sys.platform == "linux" else ()
"""Kernels talk through files that only this user can open, not through ports that every user of the
machine can reach. Elsewhere the paths grow longer than a socket's name may be."""

PASSED_ON = frozenset({
    "PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "LC_ALL", "LC_CTYPE", "TZ", "TERM",
    "TMPDIR", "TEMP", "TMP", "VIRTUAL_ENV", "CONDA_PREFIX", "LD_LIBRARY_PATH", "PYTHONPATH",
    "XDG_RUNTIME_DIR", "XDG_DATA_HOME", "XDG_CACHE_HOME", "XDG_CONFIG_HOME",
    "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTER_TOKEN", "IPYTHONDIR",
    "SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "APPDATA", "LOCALAPPDATA", "USERPROFILE",
    "NUMBER_OF_PROCESSORS", "OMP_NUM_THREADS", "POLARS_MAX_THREADS", "NUMBA_CACHE_DIR", "MPLCONFIGDIR",
    "JUPYTER_PATH", "MEXCLAB_DATA", "MEXCLAB_CONFIG",
})  # fmt: skip
"""The only variables that a server, and so every kernel, is given: a list of keys to keep out would
one day miss one."""


def environment(settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """What a dashboard or lab server runs with: nothing that could be a key, and where the data is."""
    return {**_passed_on(environ), "MEXCLAB_DATA": str(settings.data)}


def _passed_on(environ: Mapping[str, str]) -> dict[str, str]:
    kept = {name: value for name, value in environ.items() if name.upper() in PASSED_ON}
    more = [
        path for path in kept.get("JUPYTER_PATH", "").split(os.pathsep) if path and path != str(TEMPLATES)
    ]
    return {**kept, "JUPYTER_PATH": os.pathsep.join([str(TEMPLATES), *more])}


def voila_command(
    settings: Settings, port: int, notebook: Path | None = None, *, preheat: bool = False
) -> list[str]:
    """The command that serves dashboards.

    Args:
        settings: not changed; its data folder reaches kernels through :func:`environment`.
        port: TCP port on loopback.
        notebook: a notebook, or a folder of them; None: the live desk.
        preheat: keep one kernel waiting for each notebook, about 90 MB each, for a faster start.

    Raises:
        PortInUse: something listens on that port.
        ConfigError: there is no such notebook.
    """
    check_port(port)
    what = dashboards() / "desk.ipynb" if notebook is None else Path(notebook).absolute()
    if not what.exists():
        raise ConfigError(f"There is no dashboard {what}.", file=str(what))
    return [
        sys.executable, "-m", "mexclab.notebook.serve", "voila", str(what),
        "--no-browser",
        f"--Voila.ip={HOST}",
        f"--port={port}",
        "--Voila.port_retries=0",
        "--template=mexclab",
        "--theme=dark",
        # a visitor may not choose another template: the others load from elsewhere
        "--VoilaConfiguration.allow_template_override=NO",
        "--VoilaConfiguration.allow_theme_override=NO",
        *(f"--VoilaConfiguration.extension_allowlist={name}" for name in EXTENSIONS),
        f"--preheat_kernel={preheat}",
        # a kernel whose page is gone ends itself: it must stay ended, and nothing waits for the tab
        "--KernelManager.autorestart=False",
        "--MappingKernelManager.buffer_offline_messages=False",
        "--MappingKernelManager.cull_idle_timeout=120",
        "--MappingKernelManager.cull_interval=30",
        *OWN_SOCKETS,
    ]  # fmt: skip


def lab_command(settings: Settings, port: int, folder: Path | None = None) -> list[str]:
    """The command that serves JupyterLab on ``folder`` (None: the working folder); it asks for its token.

    Raises:
        PortInUse: something listens on that port.
        ConfigError: there is no such folder.
    """
    check_port(port)
    root = Path.cwd() if folder is None else Path(folder).absolute()
    if not root.is_dir():
        raise ConfigError(f"There is no folder {root}.", folder=str(root))
    return [
        sys.executable, "-m", "mexclab.notebook.serve", "lab",
        "--no-browser",
        f"--ServerApp.ip={HOST}",
        f"--port={port}",
        "--ServerApp.port_retries=0",
        f"--ServerApp.root_dir={root}",
        "--LabApp.news_url=None",
        "--LabApp.check_for_updates_class=jupyterlab.handlers.announcements.NeverCheckForUpdate",
        "--LabApp.extension_manager=readonly",
        *OWN_SOCKETS,
        # in a container everybody is root; who listens on loopback and asks for a token may be, too
        *(["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []),
        "--VoilaConfiguration.template=mexclab",
        "--VoilaConfiguration.theme=dark",
        *(f"--VoilaConfiguration.extension_allowlist={name}" for name in EXTENSIONS),
    ]  # fmt: skip


def check_port(port: int) -> None:
    """Say it in one line when the port is taken.

    Raises:
        PortInUse: something listens there.
        ConfigError: the port may not be used.
    """
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        if os.name == "posix":  # elsewhere this option would let two servers share a port
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((HOST, port))
        except OSError as wrong:
            if wrong.errno == errno.EADDRINUSE:
                raise PortInUse(
                    f"Port {port} on {HOST} is in use. Stop what listens there, or set MEXCLAB_DASH__PORT "
                    "(dashboards) or MEXCLAB_DASH__LAB_PORT (JupyterLab).",
                    port=port,
                ) from None
            raise ConfigError(f"Port {port} on {HOST} cannot be used: {wrong.strerror}.", port=port) from None


def dashboards() -> Path:
    """The folder of dashboards: in the working folder, or beside the package in a checkout.

    Raises:
        ConfigError: neither is there.
    """
    places = (Path.cwd() / "dashboards", Path(__file__).parents[2] / "dashboards")
    for place in places:
        if place.is_dir():
            return place
    raise ConfigError("There is no folder `dashboards` here. Run this in the folder of your mexclab project.")


def pieces(places: Sequence[Path]) -> list[str]:
    """The files that Voila's start script will ask for, so that a page can load them while its kernel starts.

    Args:
        places: folders of static files, one of which holds ``voila.js``.
    """
    home = next((place for place in places if (place / "voila.js").is_file()), None)
    if home is None:
        return []
    named = re.findall(r"\.e\((\d+)\)", (home / "voila.js").read_text(encoding="utf-8"))
    files = dict.fromkeys(f"{number}.voila.js" for number in named)
    return [file for file in files if (home / file).is_file()]


def desk_mode(data: Path | None = None) -> tuple[str, str]:
    """The mode of the desk that runs on the data folder, and the words for it; empty: none runs.

    Args:
        data: None: the one of the settings. Asked anew for each page, because a desk comes and goes.
    """
    try:
        mode = address_in(data_folder() if data is None else data).mode
    except (DaemonUnreachable, ConfigError):
        mode = ""
    return mode, mode_words(mode)


def beside(notebook: Path) -> dict[str, Path]:
    """The other dashboards beside this one, by the name under which they are served.

    None beside a notebook that lies elsewhere: who serves one of a folder has not asked for the others.
    """
    if notebook.parent.name != "dashboards":
        return {}
    return {other.stem: other for other in sorted(notebook.parent.glob("*.ipynb")) if other != notebook}


def _launch_voila(arguments: list[str]) -> None:
    from traitlets.config import Config
    from voila.app import Voila
    from voila.paths import collect_static_paths
    from voila.tornado.handler import TornadoVoilaHandler

    class Nowhere(TornadoVoilaHandler):  # type: ignore[misc]
        """A name that no dashboard has. Voila would take it for a file of its folder, and forbid it."""

        async def get(self, path: str | None = None) -> None:
            self.send_error(404)

    class Dashboards(Voila):  # type: ignore[misc]
        """Voila with one notebook at ``/``, and those that lie beside it under their names."""

        name = "voila"

        def init_handlers(self) -> list[tuple[Any, ...]]:
            routes: list[tuple[Any, ...]] = super().init_handlers()
            if not self.notebook_path:
                return routes
            pages = beside(Path(self.notebook_path).absolute())
            about = {
                "template_paths": self.template_paths,
                "config": self.config,
                "voila_configuration": self.voila_configuration,
            }
            own: list[tuple[Any, ...]] = [
                (
                    f"{self.server_url}{re.escape(name)}",
                    TornadoVoilaHandler,
                    {**about, "notebook_path": os.path.relpath(path, self.root_dir)},
                )
                for name, path in pages.items()
            ]
            return [*own, *routes[:-1], (f"{self.server_url}[^/.]+/?", Nowhere, about), routes[-1]]

    found = [Path(place) for place in collect_static_paths(["voila", "nbconvert"], "mexclab", prune=True)]
    resources = {"pieces": pieces(found), "desk_mode": desk_mode}
    config = Config({"VoilaConfiguration": {"resources": resources}})
    # Only under a name of this machine: a page of another site that was made to resolve to it is refused.
    here = {"allow_remote_access": False, "local_hostnames": ["localhost"]}
    Dashboards.launch_instance(argv=arguments, tornado_settings=here, config=config)


def main(arguments: list[str]) -> None:
    """Become the server that ``arguments`` ask for."""
    # jsonschema imports this grammar (1.6-2.4 CPU seconds) for a format that no notebook uses;
    # told that it is not installed, it goes without.
    sys.modules.setdefault("rfc3987_syntax", None)  # type: ignore[arg-type]
    kept = _passed_on(os.environ)  # again, for whoever starts this module by hand
    os.environ.clear()
    os.environ.update(kept)
    which, *rest = arguments or [""]
    if which == "voila":
        _launch_voila(rest)
    elif which == "lab":
        from jupyterlab.labapp import LabApp

        LabApp.launch_instance(argv=rest)
    else:
        raise ConfigError(f"This serves `voila` or `lab`, not {which!r}.")


if __name__ == "__main__":
    main(sys.argv[1:])
