"""Reading a recording needs neither torch nor any later stage."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import colloidlab.video

FOLDER = Path(colloidlab.video.__file__).parent
ALLOWED = {
    "colloidlab.video",
    "colloidlab.config",
    "colloidlab.option_text",
    "colloidlab.errors",
    "colloidlab.files",
    "colloidlab.progress",
    "colloidlab.units",
}


def test_importing_it_loads_no_torch_and_no_qt() -> None:
    probe = (
        "import sys, colloidlab.video; "
        "print([m for m in sys.modules if m.split('.')[0] in ('torch', 'PyQt6', 'PyQt5', 'napari')])"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_it_imports_nothing_above_it() -> None:
    imported = set()
    for file in FOLDER.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("colloidlab"):
                imported.add(".".join(node.module.split(".")[:2]))
            elif isinstance(node, ast.Import):
                imported |= {a.name for a in node.names if a.name.startswith("colloidlab")}
    assert imported and imported <= ALLOWED
