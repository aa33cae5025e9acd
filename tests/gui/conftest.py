"""Small recordings and runs for the plugin, and its manifest made known to napari."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gui.windows import WHY_NO_WINDOW
from npe2._pytest_plugin import TestPluginManager
from report_fixture import Layer, make_run

from colloidlab.files import sha256
from colloidlab.run import Run
from colloidlab.video import write_mp4

ROOT = Path(__file__).resolve().parents[2]
MANIFEST = ROOT / "napari_plugin" / "napari.yaml"


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what opens a window where none can be opened; where all is to be tested that is a failure."""
    if not WHY_NO_WINDOW:
        return
    if os.environ.get("CI"):
        raise pytest.UsageError(f"no window can be opened for the tests of the plugin: {WHY_NO_WINDOW}")
    for item in items:
        if {"make_napari_viewer", "qtbot", "qapp"} & set(getattr(item, "fixturenames", ())):
            item.add_marker(pytest.mark.skip(reason=WHY_NO_WINDOW))


@pytest.fixture(scope="session")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """120 frames of noise, 64 x 48 px, whose number is written into the picture; frame 30 is blank."""
    path = tmp_path_factory.mktemp("clip") / "clip.mp4"
    rng = np.random.default_rng(0)
    images = rng.integers(60, 120, (120, 48, 64)).astype(np.uint8)
    for k, image in enumerate(images):
        image[:16, :56] = np.repeat([200 * (k >> bit & 1) for bit in range(7)], 8)
    images[30] = 90
    write_mp4(path, images, 50.0)
    return path


def number_in(image: np.ndarray) -> int:
    """The number that `clip` has written into a picture."""
    return sum(int(image[4:12, 8 * bit + 2 : 8 * bit + 6].mean() > 100) << bit for bit in range(7))


@pytest.fixture(scope="session")
def _invented(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("invented") / "run"
    run = make_run(folder)
    run.write_table("frames", run.read_table("frames").assign(t_s=np.nan))
    run.record["stages"]["track"]["outputs"]["frames.parquet"] = sha256(folder / "frames.parquet")
    run._write_record()
    return folder


@pytest.fixture
def run(_invented: Path, tmp_path: Path) -> Run:
    """A run with every stage, temperature identified; a copy that may be changed."""
    return Run(shutil.copytree(_invented, tmp_path / "run"))


@pytest.fixture(scope="session")
def unidentified_run(tmp_path_factory: pytest.TempPathFactory) -> Run:
    return make_run(tmp_path_factory.mktemp("unidentified") / "run", "fit", Layer(identified=False))


@pytest.fixture
def plugin(npe2pm: TestPluginManager) -> Iterator[TestPluginManager]:
    """A plugin manager that knows this manifest and no other."""
    with npe2pm.tmp_plugin(manifest=str(MANIFEST)):
        yield npe2pm
