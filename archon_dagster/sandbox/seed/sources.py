"""Read a folder of Python source the way Archon indexes a project: files, what they define, what they use."""

from __future__ import annotations

import ast
import hashlib
import os
import sysconfig
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

_SKIPPED = frozenset({"__pycache__", "ensurepip", "idlelib", "lib2to3", "node_modules", "site-packages", "turtledemo"})
_LARGEST = 512 * 1024  # bytes; beyond it a file is generated data rather than code
_EXCERPT = 1200  # characters of source in a document

Definition = ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True, slots=True)
class Entity:
    """A class or function.

    :param name: qualified within its file, e.g. ``ArgumentParser.parse_args``.
    :param uses: names of base classes, and of what is called or decorated, as written.
    :param excerpt: the beginning of its source.
    """

    name: str
    kind: str  # "class" or "function"
    line: int
    lines: int
    doc: str
    bases: tuple[str, ...]
    uses: tuple[str, ...]
    excerpt: str


@dataclass(frozen=True, slots=True)
class SourceFile:
    """One parsed file.

    :param path: relative to the folder, with forward slashes.
    :param module: dotted name, e.g. ``email.message``.
    :param imports: dotted names of imported modules, in order of appearance, without repeats.
    """

    path: str
    module: str
    size: int
    lines: int
    sha256: str
    doc: str
    excerpt: str
    imports: tuple[str, ...]
    entities: tuple[Entity, ...]


def standard_library() -> Path:
    """The folder of the running Python's standard library."""
    return Path(sysconfig.get_path("stdlib"))


def read_sources(folder: Path, limit: int | None) -> Iterator[SourceFile]:
    """The parsable Python files of a folder, in the order of their paths, at most ``limit``."""
    found = 0
    for path in source_paths(folder):
        if limit is not None and found >= limit:
            return
        source = parse(folder, path)
        if source is not None:
            found += 1
            yield source


def source_paths(folder: Path) -> list[Path]:
    """All Python files below a folder except tests, caches and what is not its own; links are not followed."""
    paths: list[Path] = []
    for directory, children, names in os.walk(folder):
        children[:] = [child for child in children if not _skipped(child)]
        here = Path(directory)
        paths += [here / name for name in names if name.endswith(".py") and not (here / name).is_symlink()]
    return sorted(paths, key=lambda path: path.relative_to(folder).as_posix())


def parse(folder: Path, path: Path) -> SourceFile | None:
    """A file as Archon sees it, or ``None`` where it is not parsable Python (a template, another version's syntax)."""
    raw = path.read_bytes()
    if len(raw) > _LARGEST:
        return None
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # invalid escapes in somebody else's source
            text, tree = raw.decode(), ast.parse(raw)
    except (SyntaxError, ValueError, RecursionError):
        return None
    text = text.replace("\0", "")
    relative = path.relative_to(folder).as_posix()
    module = relative.removesuffix(".py").removesuffix("/__init__").replace("/", ".")
    rows = text.splitlines()
    return SourceFile(
        path=relative, module=module, size=len(raw), lines=len(rows), sha256=hashlib.sha256(raw).hexdigest(),
        doc=_doc(tree), excerpt="\n".join(rows)[:_EXCERPT],
        imports=tuple(dict.fromkeys(_imports(tree, module, relative.endswith("__init__.py")))),
        entities=tuple(_entities(tree, rows)),
    )  # fmt: skip


def _skipped(directory: str) -> bool:
    return directory in _SKIPPED or "test" in directory or directory.startswith((".", "config-"))


def _imports(tree: ast.Module, module: str, is_package: bool) -> Iterator[str]:
    for node in tree.body:
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            base = _absolute(node, module, is_package)
            yield base
            yield from (f"{base}.{alias.name}" for alias in node.names if alias.name != "*")


def _absolute(node: ast.ImportFrom, module: str, is_package: bool) -> str:
    if not node.level:
        return node.module or ""
    parents = module.split(".")
    parents = parents[: len(parents) - node.level + (1 if is_package else 0)]
    return ".".join([*parents, *([node.module] if node.module else [])])


def _entities(tree: ast.Module, rows: list[str]) -> Iterator[Entity]:
    seen: set[str] = set()
    for node in tree.body:
        for name, definition in _definitions(node, ""):
            if name not in seen:  # redefinitions under another condition are the same entity
                seen.add(name)
                yield _entity(name, definition, rows)


def _definitions(node: ast.stmt, prefix: str) -> Iterator[tuple[str, Definition]]:
    if isinstance(node, Definition):
        yield prefix + node.name, node
        if isinstance(node, ast.ClassDef):
            for child in node.body:
                yield from _definitions(child, f"{prefix}{node.name}.")


def _entity(name: str, node: Definition, rows: list[str]) -> Entity:
    is_class = isinstance(node, ast.ClassDef)
    end = node.end_lineno or node.lineno
    bases = [_dotted(base) for base in node.bases] if isinstance(node, ast.ClassDef) else []
    return Entity(
        name=name, kind="class" if is_class else "function", line=node.lineno, lines=end - node.lineno + 1,
        doc=_doc(node), bases=tuple(filter(None, bases)),
        uses=() if is_class else tuple(_calls(node)),
        excerpt="\n".join(rows[node.lineno - 1 : end])[:_EXCERPT],
    )  # fmt: skip


def _doc(node: Definition | ast.Module) -> str:
    """The docstring without what no store can hold: NUL characters and lone surrogates."""
    return (ast.get_docstring(node) or "").replace("\0", "").encode("utf-8", "replace").decode()


def _calls(node: Definition) -> list[str]:
    called = (_dotted(child.func) for child in ast.walk(node) if isinstance(child, ast.Call))
    return list(dict.fromkeys(filter(None, called)))


def _dotted(node: ast.expr) -> str:
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.Attribute):
        inner = _dotted(node.value)
        return f"{inner}.{node.attr}" if inner else ""
    return ""
