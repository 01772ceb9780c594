"""Crash points, derived from the source: every await of the order and exit paths is one by itself.

An ``await f(x)`` has the phases ``before`` (nothing of it has begun, its arguments neither), ``handed``
(``f`` gave a future that somebody works on, and nobody waits for it yet; a coroutine is none) and ``after``
(it came back). An ``async with`` has ``before``, ``after`` (entered), ``leaving`` and ``left``.
"""

from __future__ import annotations

import ast
import copy
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROOMS = ("trading",)  # every module in them
MODULES = (
    "replay",
    "store.ledger",
    "venues.mexc.account",
    "venues.mexc.cancels",
    "venues.mexc.confirm",
    "venues.mexc.gate",
    "venues.mexc.http",
    "venues.mexc.http_connection",
    "venues.mexc.rest",
)
# where only a part of a module is on the way of an order
ONLY = {"store.ledger": ("PostgresLedger.append",)}
BEFORE, HANDED, AFTER, ENTER, EACH = "__before__", "__handed__", "__after__", "__enter__", "__each__"
AWAIT_PHASES = ("before", "handed", "after")
WITH_PHASES = ("before", "after", "leaving", "left")
EACH_PHASES = ("before", "after")
LONGEST = 48


@dataclass(frozen=True, slots=True)
class Point:
    """One place of the source at which the process may wait, and so one at which it may die."""

    name: str
    line: int
    phases: tuple[str, ...]
    after_error: bool = False  # stands in an ``except``


def modules() -> Iterator[tuple[str, Path]]:
    """Name below ``mexclab`` and file of every module whose awaits are crash points."""
    package = ROOT / "mexclab"
    for room in ROOMS:
        for file in sorted((package / room).glob("*.py")):
            if file.stem != "__init__":
                yield f"{room}.{file.stem}", file
    for name in MODULES:
        yield name, package / (name.replace(".", "/") + ".py")


def points() -> list[Point]:
    """All of them, in the order of the source."""
    found: list[Point] = []
    for name, file in modules():
        instrumented(file.read_text(encoding="utf-8"), name, found)
    return found


def instrumented(source: str, module: str, found: list[Point] | None = None) -> ast.Module:
    """The module's tree with a call at every point; ``found`` takes the points in."""
    marks = _Marks(module, [] if found is None else found)
    tree: ast.Module = marks.visit(ast.parse(source))
    return ast.fix_missing_locations(tree)


def short(node: ast.expr) -> str:
    """What is waited for, as a reader would name it: ``engine.record(...)``."""
    text = f"{ast.unparse(node.func)}(...)" if isinstance(node, ast.Call) else ast.unparse(node)
    # square brackets mean something in patterns
    text = " ".join(text.split()).replace("[", "(").replace("]", ")")
    return text if len(text) <= LONGEST else f"{text[: LONGEST - 3]}..."


class _Marks(ast.NodeTransformer):
    """Puts the calls in. A function's points are numbered in the order in which they are written."""

    def __init__(self, module: str, found: list[Point]) -> None:
        self._module = module
        self._found = found
        self._path: list[str] = []
        self._counts: dict[str, int] = {}
        self._handlers = 0

    def visit_ExceptHandler(self, node: ast.ExceptHandler) -> ast.AST:
        self._handlers += 1
        changed = self.generic_visit(node)
        self._handlers -= 1
        return changed

    def _within(self, node: ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) -> ast.AST:
        self._path.append(node.name)
        changed = self.generic_visit(node)
        self._path.pop()
        return changed

    visit_ClassDef = _within  # noqa: N815  # the names that ast calls
    visit_FunctionDef = _within  # noqa: N815
    visit_AsyncFunctionDef = _within  # noqa: N815

    def _named(self, what: str, node: ast.expr, phases: tuple[str, ...]) -> ast.Constant | None:
        where = ".".join(self._path)
        only = ONLY.get(self._module)
        if only is not None and where not in only:
            return None
        self._counts[where] = self._counts.get(where, 0) + 1
        name = f"{self._module}.{where}#{self._counts[where]} {what}"
        self._found.append(Point(name, node.lineno, phases, self._handlers > 0))
        return ast.Constant(name)

    def visit_Await(self, node: ast.Await) -> ast.AST:
        calls = isinstance(node.value, ast.Call)
        name = self._named(short(node.value), node, AWAIT_PHASES if calls else EACH_PHASES)
        self.generic_visit(node)
        if name is None:
            return node
        waited = ast.Await(_call(HANDED, name, node.value) if calls else node.value)
        # left to right: the first element is made before anything of the second one is
        pair = ast.Tuple([_call(BEFORE, name), _call(AFTER, name, waited)], ast.Load())
        return ast.copy_location(ast.Subscript(pair, ast.Constant(1), ast.Load()), node)

    def visit_AsyncWith(self, node: ast.AsyncWith) -> ast.AST:
        for item in node.items:
            expression = item.context_expr
            name = self._named(f"with {short(expression)}", expression, WITH_PHASES)
            if name is not None:
                item.context_expr = _call(ENTER, name, expression)
        return self.generic_visit(node)

    def visit_AsyncFor(self, node: ast.AsyncFor) -> ast.AST:
        node.iter = self._each(node.iter)
        return self.generic_visit(node)

    def visit_comprehension(self, node: ast.comprehension) -> ast.AST:
        if node.is_async:
            node.iter = self._each(node.iter)
        return self.generic_visit(node)

    def _each(self, source: ast.expr) -> ast.expr:
        name = self._named(f"for {short(source)}", source, EACH_PHASES)
        return source if name is None else _call(EACH, name, source)


def _call(function: str, name: ast.Constant, *arguments: ast.expr) -> ast.Call:
    called = ast.Call(ast.Name(function, ast.Load()), [copy.copy(name), *arguments], [])
    return ast.copy_location(called, arguments[0]) if arguments else called
