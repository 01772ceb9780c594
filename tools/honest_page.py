"""The page "How not to fool yourself": its words are here, its numbers come from an executed notebook.

    python tools/honest_page.py RUN.ipynb    take the numbers of this executed run, and write the page
    python tools/honest_page.py              write the page again, from the numbers that are kept
    python tools/honest_page.py --check      say whether the page is what it should be; change nothing

``mexclab run notebooks/11_outcomes_honestly.ipynb`` makes such a run and says where it lies. The numbers
are kept in ``tools/honest_page.json`` beside a digest of the code that computed them.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from mexclab.notebook.outcomes import facts_in

ROOT = Path(__file__).resolve().parents[1]
NOTEBOOK = ROOT / "notebooks" / "11_outcomes_honestly.ipynb"
WORDS, NUMBERS = ROOT / "tools" / "honest_page.md", ROOT / "tools" / "honest_page.json"
PAGE = ROOT / "docs" / "how-not-to-fool-yourself.md"


def digest(notebook: Mapping[str, Any]) -> str:
    """Of the code cells, without parameters: neither the declared nor the given ones are code."""
    known = {"parameters", "injected-parameters"}
    code = [
        "".join(cell["source"]).strip()
        for cell in notebook["cells"]
        if cell["cell_type"] == "code" and not known & set(cell["metadata"].get("tags", ()))
    ]
    return hashlib.sha256("\n\n".join(code).encode()).hexdigest()


def kept(run: Mapping[str, Any]) -> dict[str, Any]:
    """What is kept of an executed notebook: the digest of its code, and its facts by name."""
    return {"code": digest(run), "facts": dict(sorted(facts_in(run).items()))}


def page(words: str, facts: Mapping[str, Mapping[str, Any]]) -> str:
    """The words with every ``{name}`` replaced by the text of that fact.

    Raises:
        KeyError: the words name a fact that the run does not have.
    """
    return words.format_map({name: fact["text"] for name, fact in facts.items()})


def main() -> int:
    parser = argparse.ArgumentParser(description="Write the page about fooling oneself.")
    parser.add_argument("run", nargs="?", type=Path, help="an executed copy of the notebook")
    parser.add_argument(
        "--check", action="store_true", help="change nothing, say whether all is as it should"
    )
    arguments = parser.parse_args()
    if arguments.run:
        numbers = kept(json.loads(arguments.run.read_text(encoding="utf-8")))
        NUMBERS.write_text(json.dumps(numbers, indent=1, ensure_ascii=False) + "\n", encoding="utf-8")
    stored = json.loads(NUMBERS.read_text(encoding="utf-8"))
    written = page(WORDS.read_text(encoding="utf-8"), stored["facts"])
    if not arguments.check:
        PAGE.write_text(written, encoding="utf-8")
        return 0
    same = PAGE.read_text(encoding="utf-8") == written
    fresh = stored["code"] == digest(json.loads(NOTEBOOK.read_text(encoding="utf-8")))
    if not fresh:
        sys.stderr.write("the notebook's code has changed since its numbers were taken: run it again\n")
    if not same:
        sys.stderr.write("the page is not what its words and numbers make: write it again\n")
    return 0 if same and fresh else 1


if __name__ == "__main__":
    sys.exit(main())
