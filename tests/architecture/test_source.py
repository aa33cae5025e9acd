"""What no file may hold: unsafe loading, machine paths, registry hosts, too many lines, undocumented functions."""

from __future__ import annotations

import ast
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from architecture.source_tree import PLUGIN, ROOT, modules, parse

LONGEST_MODULE = 400

EVERY_MODULE = {**modules(), **modules(PLUGIN)}

UNSAFE_MODULES = {"pickle", "cPickle", "cloudpickle", "dill", "joblib", "shelve", "marshal"}
UNSAFE_KEYWORDS = {("weights_only", False), ("allow_pickle", True)}
UNSAFE_CALLS = {
    "yaml.load",
    "yaml.unsafe_load",
    "torch.load",
    "eval",
    "exec",
    "pd.read_pickle",
    "pandas.read_pickle",
}

# Put together here, so that this file does not hold what it forbids.
MACHINE_FOLDERS = re.compile(
    r"(?<![\w.~*)\]}$-])/(?:"
    + "|".join(("work", "tmp", "root", "opt", "home", "Users"))
    + r")(?=[/\s'\"`),]|$)"
)
REGISTRY_HOSTS = re.compile(
    "|".join(
        re.escape(name + "." + domain)
        for name, domain in (
            ("pypi", "org"),
            ("pythonhosted", "org"),
            ("download.pytorch", "org"),
            ("anaconda", "org"),
            ("npmjs", "org"),
            ("crates", "io"),
        )
    )
)


def tracked_text() -> dict[str, str]:
    """Every text file under version control."""
    done = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "-z"], capture_output=True, text=True, check=False
    )
    if done.returncode:
        pytest.skip("the source is not under version control here")
    found = {}
    for name in filter(None, done.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file():
            continue
        data = path.read_bytes()
        if b"\0" not in data[:8192]:
            found[name] = data.decode("utf-8")
    return found


TEXT = tracked_text()
PYTHON = {name: ast.parse(text) for name, text in TEXT.items() if name.endswith(".py")}


def hits(pattern: re.Pattern[str]) -> list[str]:
    return [
        f"{name}:{number}: {line.strip()[:100]}"
        for name, text in TEXT.items()
        for number, line in enumerate(text.splitlines(), 1)
        if pattern.search(line)
    ]


def unsafe(tree: ast.AST) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (f"import {a.name}" for a in node.names if a.name.split(".")[0] in UNSAFE_MODULES)
        elif isinstance(node, ast.ImportFrom) and (node.module or "").split(".")[0] in UNSAFE_MODULES:
            yield f"from {node.module} import"
        elif isinstance(node, ast.Call):
            only_tensors = any(
                k.arg == "weights_only" and ast.unparse(k.value) == "True" for k in node.keywords
            )
            if ast.unparse(node.func) in UNSAFE_CALLS and not only_tensors:
                yield f"{ast.unparse(node.func)}() at line {node.lineno}"
            for keyword in node.keywords:
                value = keyword.value.value if isinstance(keyword.value, ast.Constant) else None
                if isinstance(value, bool) and (keyword.arg, value) in UNSAFE_KEYWORDS:
                    yield f"{keyword.arg}={value} at line {node.lineno}"


def test_nothing_loads_code_from_data() -> None:
    found = [f"{name}: {what}" for name, tree in PYTHON.items() for what in unsafe(tree)]
    assert len(PYTHON) > 20 and not found, "\n".join(found)


@pytest.mark.parametrize(
    "line",
    [
        "import pickle",
        "from joblib import load",
        "torch.load(f)",
        "f(weights_only=False)",
        "yaml.load(s)",
        "eval('1')",
    ],
)
def test_the_reader_knows_unsafe_loading(line: str) -> None:
    assert list(unsafe(ast.parse(line)))


def test_the_reader_lets_tensors_be_read() -> None:
    assert not list(unsafe(ast.parse("torch.load(f, weights_only=True)")))


def test_no_absolute_machine_paths() -> None:
    found = hits(MACHINE_FOLDERS)
    assert not found, "\n".join(found)
    assert MACHINE_FOLDERS.search('open("' + "/" + 'home/me/video.mp4")') and not MACHINE_FOLDERS.search(
        "a/home/b"
    )


def test_no_registry_hosts() -> None:
    found = hits(REGISTRY_HOSTS)
    assert not found, "\n".join(found)


def test_modules_are_short() -> None:
    lengths = {
        name: len(path.read_text(encoding="utf-8").splitlines()) for name, path in EVERY_MODULE.items()
    }
    long = {name: n for name, n in lengths.items() if n > LONGEST_MODULE}
    assert not long, f"split {long}"


def undocumented(path: Path) -> Iterator[str]:
    tree = parse(path)
    if tree.body and not ast.get_docstring(tree) and path.name != "__init__.py":
        yield f"{path.relative_to(ROOT)}: the module"
    for node in tree.body:
        is_public = isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_")
        if is_public and not ast.get_docstring(node):
            yield f"{path.relative_to(ROOT)}:{node.lineno} {node.name}"


def test_everything_public_is_documented() -> None:
    found = [what for path in EVERY_MODULE.values() for what in undocumented(path)]
    assert not found, "\n".join(found)
