"""The pictures of docs/napari.md, from a run of the sample video; `make screenshots` calls this under Xvfb.

Each picture is one function that is given the open viewer and returns an array; its name in `PICTURES` is that of the file.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import napari
import numpy as np
from PIL import Image
from qtpy.QtGui import QImage
from qtpy.QtWidgets import QApplication, QWidget

from colloidlab.config import Config, ExportConfig
from colloidlab.files import atomic_path
from colloidlab.report.film import write_export
from colloidlab.run import Run
from napari_plugin.analyse import Analyse
from napari_plugin.explore import Explore
from napari_plugin.export import Export
from napari_plugin.layers import run_layers
from napari_plugin.repair_window import RepairTracks
from napari_plugin.scene import NAMESPACE
from napari_plugin.showing import show_run

DOCS = Path(__file__).resolve().parent
SAMPLE = DOCS.parent / "sample_videos" / "sheared_monolayer.mp4"

FRAME = 270
"""In the test block, where the experiment has a rollout beside it."""

WINDOW, WITH_DOCK = (1280, 860), (1560, 860)
PANEL = (420, 700)
PATIENCE_S = 120
_WIDE = ("napari_window", "napari_track", "napari_explore", "napari_repair", "side_by_side")
WIDEST = {name: 880 for name in _WIDE}
"""Of pictures with much in them; 640 px for all others."""
COLOURS = 256
"""Of the pictures' palettes; more would make the files larger and look the same."""


class Stage:
    """The viewer that is photographed.

    Parameters
    ----------
    run : Run
    """

    def __init__(self, run: Run) -> None:
        self.run = run
        self.viewer: Any = napari.Viewer(show=True)
        self.viewer.window._qt_window.resize(*WINDOW)
        show_run(self.viewer, run_layers(run))
        self.viewer.dims.set_current_step(0, FRAME)

    def settle(self) -> None:
        """Let Qt draw what has changed."""
        for _ in range(20):
            QApplication.processEvents()
            time.sleep(0.02)

    def wait(self, ready: Callable[[], bool]) -> None:
        """Until something has been computed in the background."""
        until = time.monotonic() + PATIENCE_S
        while not ready():
            if time.monotonic() > until:
                raise TimeoutError("a widget did not show what its picture is for")
            self.settle()

    def show(self, *kinds: str) -> None:
        """Show the video and the layers whose name begins so, and no others; the first kind is selected."""
        for layer in self.viewer.layers:
            video = layer.metadata[NAMESPACE]["kind"] == "video"
            layer.visible = video or any(layer.name.startswith(kind) for kind in kinds)
            if layer.name.startswith(kinds[:1] or ("",)):
                self.viewer.layers.selection.active = layer
        self.settle()
        self.viewer.reset_view(margin=0.02)
        self.settle()

    def window(self, size: tuple[int, int] = WINDOW) -> np.ndarray:
        self.viewer.window._qt_window.resize(*size)
        self.settle()
        self.viewer.reset_view(margin=0.02)
        self.settle()
        return np.asarray(self.viewer.window.screenshot(flash=False, canvas_only=False))

    def canvas(self) -> np.ndarray:
        self.settle()
        return np.asarray(self.viewer.screenshot(flash=False, canvas_only=True))

    def widget(self, widget: QWidget, size: tuple[int, int] = PANEL) -> np.ndarray:
        """A dock widget as it looks beside the canvas."""
        dock = self.viewer.window.add_dock_widget(widget, name=type(widget).__name__)
        widget.setFixedSize(*size)
        self.settle()
        picture = to_array(widget)
        self.viewer.window.remove_dock_widget(dock)
        return picture


def to_array(widget: QWidget) -> np.ndarray:
    """What a widget shows, shape (height, width, 4)."""
    image = widget.grab().toImage().convertToFormat(QImage.Format.Format_RGBA8888)
    bits = image.constBits()
    bits.setsize(image.sizeInBytes())
    return (
        np.frombuffer(bits, np.uint8)
        .reshape(image.height(), image.bytesPerLine() // 4, 4)[:, : image.width()]
        .copy()
    )


# ---- the pictures ---------------------------------------------------------------------------


def window(stage: Stage) -> np.ndarray:
    stage.show("temperature (")
    return stage.window()


def temperature_map(stage: Stage) -> np.ndarray:
    stage.show("temperature map")
    return stage.canvas()


def tracks(stage: Stage) -> np.ndarray:
    stage.show("tracks")
    stage.viewer.layers["tracks"].tail_length = 40
    return stage.canvas()


def rollout(stage: Stage) -> np.ndarray:
    stage.show("rollout 1 of 6, error")
    return stage.canvas()


def analyse(stage: Stage) -> np.ndarray:
    widget = Analyse(stage.viewer)
    widget.places.recording.setText(f"sample_videos/{SAMPLE.name}")
    widget.places.folder.setText("runs/sheared_monolayer")
    widget.places.recording.setCursorPosition(0)
    widget.form.setCurrentIndex(list(Config.model_fields).index("track"))
    return stage.widget(widget)


def _panel(stage: Stage, tab: str, size: tuple[int, int]) -> np.ndarray:
    """A tab of Analyse, with what the run holds below its options."""
    widget = Analyse(stage.viewer)
    widget.form.setCurrentIndex(list(Config.model_fields).index(tab))
    widget.panels.show(stage.run.path)
    return stage.widget(widget.form, size)


def fit(stage: Stage) -> np.ndarray:
    return _panel(stage, "fit", (420, 1500))


def simulate(stage: Stage) -> np.ndarray:
    return _panel(stage, "simulate", (420, 1180))


def preview(stage: Stage) -> np.ndarray:
    """The whole window: outlines of what is found on one frame, histograms beside it."""
    stage.show()
    widget = Analyse(stage.viewer)
    widget.places.recording.setText(str(SAMPLE))
    widget.form.show_options(Config.model_validate({"track": {"method": "centroid"}}))
    widget.form.setCurrentIndex(list(Config.model_fields).index("track"))
    dock = stage.viewer.window.add_dock_widget(widget.form, name="Analyse, Track", area="right")
    widget.trial.live.setChecked(True)
    stage.wait(lambda: bool(widget.trial.sentence.text()) and widget.trial.histograms.isVisible())
    picture = stage.window(WITH_DOCK)
    widget.trial.rest()
    stage.viewer.window.remove_dock_widget(dock)
    return picture


def explore(stage: Stage) -> np.ndarray:
    """The whole window: D²min, a T1 event of this frame that was clicked on, and its four particles against time."""
    stage.show("temperature (")
    widget = Explore(stage.viewer)
    dock = stage.viewer.window.add_dock_widget(widget, name="Explore", area="right")
    stage.wait(lambda: widget.shown is not None)
    box = widget.colours.quantity
    box.setCurrentIndex(next(k for k in range(box.count()) if box.itemText(k).startswith("D²min")))
    box.activated.emit(box.currentIndex())
    assert widget.shown is not None
    events = widget.shown.events()
    assert events is not None
    here = events[(events["frame"] - FRAME).abs() == (events["frame"] - FRAME).abs().min()]
    middle = stage.viewer.layers["particles"].features[["x", "y"]].median()
    near = int(np.square(here[["x", "y"]] - middle).sum(axis=1).idxmin())
    view = widget.events.view
    model = view.model()
    row = next(k for k in range(model.rowCount()) if model.mapToSource(model.index(k, 0)).row() == near)
    view.selectRow(row)
    view.clicked.emit(model.index(row, 0))
    # The layer that is seen is the one that is selected.
    stage.viewer.layers.selection.active = next(
        x for x in widget.shown.of("coloured") if x.visible and x.name.startswith("D²min")
    )
    view.scrollTo(model.index(row, 0), view.ScrollHint.PositionAtCenter)
    picture = stage.window(WITH_DOCK)
    stage.viewer.window.remove_dock_widget(dock)
    return picture


def repair(stage: Stage) -> np.ndarray:
    """The whole window: two neighbours selected, and cut in this frame."""
    stage.show("particles")
    widget = RepairTracks(stage.viewer)
    dock = stage.viewer.window.add_dock_widget(widget, name="Repair tracks", area="right")
    stage.wait(lambda: widget.corrections is not None)
    layer = stage.viewer.layers["particles"]
    here = np.flatnonzero(layer.features["frame"] == FRAME)
    centre = np.median(layer.data[here, 1:], axis=0)
    near = np.argsort(np.linalg.norm(layer.data[here, 1:] - centre, axis=1))[:2]
    layer.selected_data = set(here[near].tolist())
    widget.buttons["Split here"].click()
    picture = stage.window(WITH_DOCK)
    widget.buttons["Undo"].click()
    layer.selected_data = set()
    stage.viewer.window.remove_dock_widget(dock)
    stage.viewer.layers.remove("to be repaired")
    return picture


def export(stage: Stage) -> np.ndarray:
    widget = Export(stage.viewer)
    widget.folder.blockSignals(True)  # the same picture wherever the run lies
    widget.folder.setText("runs/sheared_monolayer")
    return stage.widget(widget, (420, 480))


def side_by_side(stage: Stage) -> np.ndarray:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "frame.png"
        write_export(stage.run, path, ExportConfig(frames=f"{FRAME}:{FRAME + 1}", height_px=440))
        with Image.open(path) as image:
            return np.asarray(image)


PICTURES: dict[str, Callable[[Stage], np.ndarray]] = {
    # Whole windows first: a tall widget makes the window grow.
    "napari_window": window,
    "napari_track": preview,
    "napari_explore": explore,
    "napari_repair": repair,
    "napari_map": temperature_map,
    "napari_tracks": tracks,
    "napari_rollout": rollout,
    "napari_analyse": analyse,
    "napari_fit": fit,
    "napari_simulate": simulate,
    "napari_export": export,
    "side_by_side": side_by_side,
}


def save(name: str, picture: np.ndarray) -> Path:
    """Write a picture into docs/, with a palette and no wider than `WIDEST` says."""
    image = Image.fromarray(picture[..., :3])
    wide = WIDEST.get(name, 640)
    if image.width > wide:
        image = image.resize((wide, round(image.height * wide / image.width)), Image.Resampling.LANCZOS)
    image = image.quantize(COLOURS, Image.Quantize.MAXCOVERAGE, kmeans=2, dither=Image.Dither.NONE)
    with atomic_path(DOCS / f"{name}.png") as temporary:
        image.save(temporary, format="PNG", optimize=True)
    return DOCS / f"{name}.png"


def sample_run(folder: Path) -> Run:
    """The run of the sample, with its scale; made where it is not there (some minutes)."""
    run = Run(folder)
    if not run.has("rollout.zarr"):
        from colloidlab.pipeline import run_all

        about = json.loads(SAMPLE.with_suffix(".json").read_text(encoding="utf-8"))["parameters"]
        options = {"um_per_px": about["um_per_px"], "fps": about.get("fps", 100.0)}
        run_all(SAMPLE, run, Config.model_validate({"video": options}))
    return run


def main(folder: Path, names: list[str]) -> None:
    """Make the pictures of these names, or all of them."""
    stage = Stage(sample_run(folder))
    for name in names or PICTURES:
        path = save(name, PICTURES[name](stage))
        sys.stdout.write(f"{path.relative_to(DOCS.parent)}  {path.stat().st_size // 1000} kB\n")
    stage.viewer.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2:])
