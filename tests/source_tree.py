"""The package as source: its modules, what they import, its classes; without importing any of it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

PLAIN_BASES = {"object", "ABC", "Protocol", "Generic", "Enum", "IntEnum", "StrEnum", "Flag", "NamedTuple"}


@dataclass(frozen=True)
class Module:
    """One source file: its dotted name below the package, and its tree."""

    name: str
    path: str
    tree: ast.Module
    lines: int
    package: bool

    @property
    def room(self) -> str:
        return self.name.split(".")[0]


@dataclass(frozen=True)
class Import:
    """One import as it stands in the source: ``target`` is absolute, ``names`` what is taken from it."""

    module: Module
    target: str
    names: tuple[str, ...]
    line: int

    @property
    def place(self) -> str:
        return f"{self.module.path}:{self.line}"


class Tree:
    """The package ``mexclab`` under ``root``."""

    def __init__(self, root: Path) -> None:
        self.modules = {module.name: module for module in _read(root)}
        self.imports = [found for module in self.modules.values() for found in _imports(module)]

    def inside(self, found: Import) -> Iterator[str]:
        """The modules of this package that an import reaches, by name below the package."""
        if found.target.split(".")[0] != "mexclab":
            return
        target = found.target.removeprefix("mexclab").removeprefix(".")
        for name in found.names or ("",):
            full = ".".join(part for part in (target, name) if part)
            if full in self.modules:
                yield full
            elif not (target == "" and name == "__version__"):  # a constant, at home in the package itself
                yield target

    def cycles(self) -> list[str]:
        edges: dict[str, set[str]] = {name: set() for name in self.modules}
        for found in self.imports:
            edges[found.module.name] |= {name for name in self.inside(found) if name in edges}
        return [" -> ".join([*loop, loop[0]]) for loop in _loops(edges)]

    def towers(self, depth: int) -> Iterator[tuple[Module, int, list[str]]]:
        """Classes with more than ``depth`` others below them, each with its line and its chain."""
        known = {node.name: (module, node) for module, node in self._classes()}
        for module, node in known.values():
            chain = max(_chains(node, known), key=len)
            if len(chain) - 1 > depth:
                yield module, node.lineno, chain

    def _classes(self) -> Iterator[tuple[Module, ast.ClassDef]]:
        for module in self.modules.values():
            yield from ((module, node) for node in ast.walk(module.tree) if isinstance(node, ast.ClassDef))


def _read(root: Path) -> Iterator[Module]:
    for file in sorted((root / "mexclab").rglob("*.py")):
        if file.stem.endswith("_pb2"):
            continue
        parts = file.relative_to(root / "mexclab").with_suffix("").parts
        package = parts[-1] == "__init__"
        text = file.read_text(encoding="utf-8")
        yield Module(
            name=".".join(parts[:-1] if package else parts),
            path=file.relative_to(root).as_posix(),
            tree=ast.parse(text),
            lines=text.count("\n"),
            package=package,
        )


def _imports(module: Module) -> Iterator[Import]:
    """Every import, in functions too; not those that only a type checker sees."""
    for node in _run_code(module.tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield Import(module, alias.name, (), node.lineno)
        elif isinstance(node, ast.ImportFrom):
            names = tuple(alias.name for alias in node.names)
            yield Import(module, _absolute(module, node), names, node.lineno)
        elif isinstance(node, ast.Call) and _called(node) == "import_module":
            target = node.args[0] if node.args else None
            if isinstance(target, ast.Constant) and isinstance(target.value, str):
                yield Import(module, target.value, (), node.lineno)


def _called(call: ast.Call) -> str:
    """The last name of what is called."""
    if isinstance(call.func, ast.Attribute):
        return call.func.attr
    return call.func.id if isinstance(call.func, ast.Name) else ""


def _run_code(node: ast.AST) -> Iterator[ast.AST]:
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) in {"TYPE_CHECKING", "typing.TYPE_CHECKING"}:
            for other in child.orelse:
                yield other
                yield from _run_code(other)
            continue
        yield child
        yield from _run_code(child)


def _absolute(module: Module, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ""
    parts = ["mexclab", *module.name.split(".")] if module.name else ["mexclab"]
    above = parts[: len(parts) - node.level + module.package]
    return ".".join([*above, *([node.module] if node.module else [])])


def within(name: str, room: str) -> bool:
    """Whether a module is the room or lies in it."""
    return name == room or name.startswith(f"{room}.")


def _loops(edges: dict[str, set[str]]) -> list[list[str]]:
    """One loop for each knot of modules that reach themselves."""
    found: list[list[str]] = []
    knotted: set[str] = set()
    for start in sorted(edges):
        trail = {name: [start] for name in edges[start]} if start not in knotted else {}
        front = list(trail)
        while front and start not in trail:
            name = front.pop(0)
            for far in sorted(edges[name] - trail.keys()):
                trail[far] = [*trail[name], name]
                front.append(far)
        if start in trail:
            found.append(trail[start])
            knotted |= set(trail[start])
    return found


def _chains(node: ast.ClassDef, known: dict[str, tuple[Module, ast.ClassDef]]) -> Iterator[list[str]]:
    yield [node.name]
    for base in node.bases:
        name = ast.unparse(base).split("[")[0].split(".")[-1]
        if name in known and name != node.name:
            yield from ([node.name, *chain] for chain in _chains(known[name][1], known))
        elif name not in PLAIN_BASES:
            yield [node.name, name]


def broad_handlers(tree: ast.AST) -> Iterator[int]:
    """Lines that catch everything and keep it: a handler that ends in a bare ``raise`` hides nothing."""
    broad = {"Exception", "BaseException"}
    for node in ast.walk(tree):
        if isinstance(node, ast.ExceptHandler):
            caught = node.type.elts if isinstance(node.type, ast.Tuple) else [node.type]
            last = node.body[-1]
            raises = isinstance(last, ast.Raise) and last.exc is None
            if not raises and any(each is None or ast.unparse(each) in broad for each in caught):
                yield node.lineno
        elif isinstance(node, ast.Call) and _called(node).endswith("suppress"):
            yield from (node.lineno for each in node.args if ast.unparse(each) in broad)


def long_functions(tree: ast.AST, lines: int) -> Iterator[str]:
    """Functions of more than ``lines`` lines, with the line each starts on."""
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            size = (node.end_lineno or node.lineno) - node.lineno + 1
            if size > lines:
                yield f"{node.lineno}: {node.name} is {size} lines; the budget is {lines}"


def prints(tree: ast.AST) -> Iterator[int]:
    """Lines that call ``print``."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id == "print":
            yield node.lineno
