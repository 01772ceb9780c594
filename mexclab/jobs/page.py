"""An executed notebook as one HTML file that asks the network for nothing."""

from __future__ import annotations

import copy
import json
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from nbconvert import HTMLExporter

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"

TEMPLATE = Path(__file__).with_name("page.html.j2")


def page(notebook: Any, title: str) -> str:
    """The page: code, tables and live plotly figures, with everything they need inside."""
    shown = copy.deepcopy(notebook)
    shown.metadata.pop("widgets", None)
    shown.metadata["title"] = title
    figures = 0
    for cell in shown.cells:
        for output in cell.get("outputs", ()):
            data = output.get("data", {})
            if len(data) > 1:
                data.pop(WIDGET, None)
            if PLOTLY in data:
                figures += 1
                output["data"] = {"text/html": _figure(data[PLOTLY], f"figure-{figures}")}
    exporter = HTMLExporter(template_file=str(TEMPLATE), embed_images=True)
    script = f"<script>{_plotly_js()}</script>" if figures else ""
    body, _ = exporter.from_notebook_node(shown, {"mexclab_script": script})
    return str(body)


def _figure(figure: dict[str, object], name: str) -> str:
    config = {"responsive": True, "displaylogo": False, "displayModeBar": False}
    # "</" may end the script element that it stands in
    parts = (json.dumps(part).replace("</", "<\\/") for part in (figure["data"], figure["layout"], config))
    return f'<div id="{name}"></div><script>Plotly.newPlot("{name}", {", ".join(parts)});</script>'


def _plotly_js() -> str:
    """The plotting library as plotly's wheel brings it; read as a file, the package is not needed here."""
    found = find_spec("plotly")
    home = Path((found.submodule_search_locations or [""])[0]) if found else Path()
    return (home / "package_data" / "plotly.min.js").read_text(encoding="utf-8")
