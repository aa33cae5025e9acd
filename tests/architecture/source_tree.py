"""Reading the source of the package without importing it."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PACKAGE = ROOT / "colloidlab"
PLUGIN = ROOT / "napari_plugin"


@dataclass(frozen=True)
class Import:
    """One import statement's target: `module` as it would appear in sys.modules, as far as can be told."""

    module: str
    line: int
    at_top: bool


def modules(package: Path = PACKAGE) -> dict[str, Path]:
    """Every module of a package, by dotted name."""
    found = {}
    for path in sorted(package.rglob("*.py")):
        parts = list(path.relative_to(ROOT).with_suffix("").parts)
        if parts[-1] == "__init__":
            parts.pop()
        found[".".join(parts)] = path
    return found


def parse(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def imports(name: str, path: Path, known: set[str]) -> Iterator[Import]:
    """What a module imports; `from package import submodule` counts as the submodule."""
    tree = parse(path)
    run_on_import = set(_run_on_import(tree.body))
    package = name if path.name == "__init__.py" else name.rpartition(".")[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            targets = [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom):
            base = node.module or ""
            if node.level:
                above = package.split(".")[: len(package.split(".")) - node.level + 1]
                base = ".".join([*above, *([base] if base else [])])
            full = [f"{base}.{alias.name}" for alias in node.names]
            targets = [target if target in known else base for target in full]
        else:
            continue
        for target in targets:
            yield Import(target, node.lineno, node in run_on_import)


def _run_on_import(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """Statements that run when the module is imported: not those inside functions or `if TYPE_CHECKING`."""
    for node in body:
        yield node
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            continue
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from _run_on_import(node.orelse)
            continue
        for field in ("body", "orelse", "finalbody"):
            yield from _run_on_import(getattr(node, field, []))
        for handler in getattr(node, "handlers", []):
            yield from _run_on_import(handler.body)
