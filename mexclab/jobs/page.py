"""An executed notebook as one HTML file that asks the network for nothing."""

from __future__ import annotations

import copy
import json
from importlib.util import find_spec
from pathlib import Path

from jinja2 import DictLoader
from nbconvert import HTMLExporter
from nbformat import NotebookNode

PLOTLY = "application/vnd.plotly.v1+json"
WIDGET = "application/vnd.jupyter.widget-view+json"

# The stock template loads require.js, MathJax and mermaid from a CDN; none of our notebooks needs them.
_TEMPLATE = """\
{%- extends 'index.html.j2' -%}
{%- block html_head_js -%}{%- endblock -%}
{%- block jupyter_widgets -%}{%- endblock -%}
{%- block html_head_js_mathjax -%}{%- endblock -%}
{%- block html_head_js_mermaidjs -%}{%- endblock -%}
{%- block html_head_css -%}
<style>
body.jp-Notebook { max-width: 1040px; margin: 0 auto; padding: 24px 16px; }
.jp-InputPrompt, .jp-OutputPrompt { display: none; }
.jp-CodeCell .jp-InputArea-editor { font-size: 12px; opacity: .85; }
.jp-RenderedHTMLCommon { font-size: 15px; line-height: 1.55; }
.jp-RenderedHTMLCommon table { font-size: 12.5px; margin: 0 0 8px; display: block; overflow-x: auto; }
.jp-RenderedHTMLCommon td { white-space: nowrap; }
</style>
{{ resources.mexclab_script }}
{%- endblock -%}
"""


def page(notebook: NotebookNode, title: str) -> str:
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
    exporter = HTMLExporter(
        extra_loaders=[DictLoader({"page.html.j2": _TEMPLATE})],
        template_file="page.html.j2",
        embed_images=True,
    )
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
