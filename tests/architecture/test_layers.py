"""Data flows one way: no module imports from a layer above its own, and heavy libraries stay where they belong."""

from __future__ import annotations

import graphlib
import json
import subprocess
import sys
from pathlib import Path

import pytest
from architecture.source_tree import ROOT, Import, imports, modules

FOUNDATION = (
    "errors",
    "news",
    "progress",
    "units",
    "tables",
    "files",
    "memory",
    "option_text",
    "option_sections",
    "dynamics_sections",
    "config",
    "run",
    "claim",
)

LAYERS = (
    FOUNDATION,
    ("video",),
    ("features",),
    ("tracks",),
    ("indicators",),
    ("dataset",),
    ("model",),
    ("rollout",),
    ("synthetic",),
    ("report", "doctor", "terminal"),
    ("pipeline",),
    ("benchmarks",),
    ("benchmark_commands",),
    ("cli", "__main__"),
)
"""From the bottom up; `doctor` and `terminal` serve the command line only."""

LEVEL = {unit: level for level, units in enumerate(LAYERS) for unit in units}
TORCH = {"torch", "torch_geometric", "vesin_torch", "safetensors"}
QT = {"PyQt5", "PyQt6", "PySide2", "PySide6", "qtpy", "napari", "napari_plugin", "magicgui", "superqt"}
WITHOUT_TORCH = LAYERS[LEVEL["indicators"]] + tuple(
    u for units in LAYERS[: LEVEL["indicators"]] for u in units
)

MODULES = modules()
IMPORTS: dict[str, list[Import]] = {
    name: list(imports(name, path, set(MODULES))) for name, path in MODULES.items()
}


def unit(module: str) -> str:
    """The part of the program that a module belongs to: colloidlab.video.open is of `video`."""
    parts = module.split(".")
    return parts[1] if len(parts) > 1 else ""


def where(name: str, found: Import) -> str:
    return f"{MODULES[name].relative_to(ROOT)}:{found.line} imports {found.module}"


def test_every_part_has_a_layer() -> None:
    parts = {unit(name) for name in MODULES} - {""}
    assert parts <= set(LEVEL), f"give {sorted(parts - set(LEVEL))} a place in LAYERS"
    assert set(FOUNDATION) <= parts


def test_no_import_goes_upward() -> None:
    upward = [
        where(name, found)
        for name, all_found in IMPORTS.items()
        for found in all_found
        if found.module.startswith("colloidlab.")
        and unit(name)
        and LEVEL[unit(found.module)] > LEVEL[unit(name)]
    ]
    assert not upward, "\n".join(upward)


def test_parts_of_one_layer_do_not_know_each_other() -> None:
    sideways = [
        where(name, found)
        for name, all_found in IMPORTS.items()
        for found in all_found
        if found.module.startswith("colloidlab.")
        and unit(name) not in (*FOUNDATION, "", "__main__")
        and unit(found.module) != unit(name)
        and LEVEL[unit(found.module)] == LEVEL[unit(name)]
    ]
    assert not sideways, "\n".join(sideways)


def test_no_module_imports_itself_in_a_circle() -> None:
    graph = {
        name: {f.module for f in found if f.at_top and f.module in MODULES and f.module != name}
        for name, found in IMPORTS.items()
    }
    try:
        order = list(graphlib.TopologicalSorter(graph).static_order())
    except graphlib.CycleError as error:
        pytest.fail(" -> ".join(error.args[1]))
    assert len(order) == len(MODULES)


def test_torch_begins_at_the_dataset() -> None:
    early = [
        where(name, found)
        for name, all_found in IMPORTS.items()
        for found in all_found
        if unit(name) in WITHOUT_TORCH and found.module.split(".")[0] in TORCH
    ]
    assert not early, "\n".join(early)


def test_report_stands_on_the_run_folder_and_not_on_torch() -> None:
    forbidden = {"dataset", "model", "rollout", "synthetic"}
    wrong = [
        where(name, found)
        for name, all_found in IMPORTS.items()
        for found in all_found
        if unit(name) == "report"
        and (
            found.module.split(".")[0] in TORCH
            or (found.module.startswith("colloidlab.") and unit(found.module) in forbidden)
        )
    ]
    assert not wrong, "\n".join(wrong)


def test_doctor_and_cli_import_torch_only_when_they_need_it() -> None:
    wrong = [
        where(name, found)
        for name in (
            "colloidlab.doctor",
            "colloidlab.cli",
            "colloidlab.benchmark_commands",
            "colloidlab.__main__",
            "colloidlab.terminal",
        )
        for found in IMPORTS[name]
        if found.at_top and found.module.split(".")[0] in TORCH
    ]
    assert not wrong, "\n".join(wrong)


def test_no_window_toolkit_inside_the_package() -> None:
    wrong = [
        where(name, found)
        for name, all_found in IMPORTS.items()
        for found in all_found
        if found.module.split(".")[0] in QT
    ]
    assert not wrong, "\n".join(wrong)


@pytest.mark.parametrize("module", ["colloidlab", "colloidlab.cli"])
def test_import_is_light(module: str) -> None:
    heavy = ["torch", "matplotlib", "numba", "trackpy", "pandas", "cv2", "av", "zarr"]
    probe = f"import json, sys, {module}; print(json.dumps([m for m in {heavy!r} if m in sys.modules]))"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout) == []


def test_importing_the_early_parts_loads_no_torch() -> None:
    """As the tests above, but seeing what other libraries bring along."""
    parts = sorted({*WITHOUT_TORCH, "report", "doctor"} & {unit(name) for name in MODULES})
    probe = (
        "import importlib, sys\n"
        f"for part in {parts!r}:\n"
        "    importlib.import_module('colloidlab.' + part)\n"
        "    if 'torch' in sys.modules: sys.exit(part + ' loads torch')"
    )
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=False)
    assert len(parts) > 8 and done.returncode == 0, done.stderr


def test_the_reader_of_imports_sees_every_kind(tmp_path: Path) -> None:
    """The rules above are worth as much as this reader."""
    source = (
        "import os\nfrom colloidlab import tables\nfrom . import sibling\nfrom ..errors import InputError\n"
        "if TYPE_CHECKING:\n    import torch\ntry:\n    import cv2\nexcept ImportError:\n    pass\n"
        "def f():\n    import numba\n"
    )
    path = tmp_path / "mod.py"
    path.write_text(source)
    known = {"colloidlab.tables", "colloidlab.video.sibling"}
    found = [(f.module, f.at_top) for f in imports("colloidlab.video.mod", path, known)]
    assert sorted(found) == [
        ("colloidlab.errors", True),
        ("colloidlab.tables", True),
        ("colloidlab.video.sibling", True),
        ("cv2", True),
        ("numba", False),
        ("os", True),
        ("torch", False),
    ]
