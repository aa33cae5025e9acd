"""Several runs in one viewer can be told apart, and those without a scale do not make napari warn."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from napari.components import ViewerModel
from napari.utils.notifications import notification_manager
from pytestqt.qtbot import QtBot
from report_fixture import CALIBRATED, make_run
from report_fixture import Layer as Invented

from colloidlab.run import Run
from colloidlab.units import Calibration
from napari_plugin.layers import run_layers
from napari_plugin.several_runs import short_names
from napari_plugin.showing import show_run

TEMPERATURE = "temperature (px²/frame²)"


@pytest.fixture
def without_scale(tmp_path: Path) -> Run:
    return make_run(tmp_path / "no scale", "fit", Invented(calibration=Calibration()))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What napari's notifications say."""
    said: list[str] = []
    monkeypatch.setattr(notification_manager, "dispatch", lambda note: said.append(note.message))
    return said


def test_names_begin_with_the_run_as_long_as_there_are_two(run: Run, unidentified_run: Run) -> None:
    viewer = ViewerModel()
    show_run(viewer, run_layers(run))
    assert TEMPERATURE in viewer.layers
    show_run(viewer, run_layers(unidentified_run))
    short = short_names([str(r.path.resolve()) for r in (run, unidentified_run)])
    for layer in viewer.layers:
        begin = short[layer.metadata["colloidlab"]["run"]]
        assert layer.name == f"{begin}: {layer.metadata['colloidlab']['name']}"
    lines = viewer.canvas.overlays.text.text.splitlines()
    first, second = short.values()
    assert lines == [f"{second}: D²min (px²)", f"{first}: {TEMPERATURE}"]
    # A name of one's own is kept, and the run's name stands before it.
    viewer.layers[f"{first}: ψ6"].name = "order"
    assert f"{first}: order" in viewer.layers
    for layer in [x for x in viewer.layers if x.metadata["colloidlab"]["run"] == str(unidentified_run.path)]:
        viewer.layers.remove(layer)
    assert {TEMPERATURE, "order", "particles"} <= {layer.name for layer in viewer.layers}
    assert viewer.canvas.overlays.text.text == TEMPERATURE


def test_runs_with_and_without_a_scale_are_shown_in_pixels_together(
    run: Run, without_scale: Run, told: list[str]
) -> None:
    viewer = ViewerModel()
    show_run(viewer, run_layers(run))
    before = {layer.name: (layer.scale, layer.translate) for layer in viewer.layers}
    told.clear()
    show_run(viewer, run_layers(without_scale))
    said = [words for words in told if "no scale" in words and "recording" not in words]
    assert said == ["no scale has no scale: everything is shown in pixels as long as it is open."]
    assert not viewer.canvas.overlays.scale_bar.visible
    for layer in viewer.layers:
        assert {str(unit) for unit in layer.units} == {"pixel"}
        if layer.metadata["colloidlab"]["kind"] != "map":
            np.testing.assert_allclose(layer.scale, 1)
    # The same place of the same map is the same place of the image.
    [one, other] = [x for x in viewer.layers if x.name.endswith("temperature map (px²/frame²)")]
    np.testing.assert_allclose(one.translate[1:], (one.scale[1:] - 1) / 2)
    assert one.scale[1] == pytest.approx(other.scale[1], rel=0.2)
    for layer in [x for x in viewer.layers if x.metadata["colloidlab"]["run"] == str(without_scale.path)]:
        viewer.layers.remove(layer)
    assert viewer.canvas.overlays.scale_bar.visible
    for layer in viewer.layers:
        assert str(layer.units[-1]) == "micrometer"
        for now, then in zip((layer.scale, layer.translate), before[layer.name], strict=True):
            np.testing.assert_allclose(now, then)
    assert viewer.layers["particles"].scale[-1] == CALIBRATED.um_per_px


@pytest.mark.parametrize("scale_first", [True, False])
def test_napari_does_not_warn_of_units(
    make_napari_viewer: Callable[..., Any],
    qtbot: QtBot,
    run: Run,
    without_scale: Run,
    told: list[str],
    scale_first: bool,
) -> None:
    viewer = make_napari_viewer(show=True)
    for each in (run, without_scale) if scale_first else (without_scale, run):
        show_run(viewer, run_layers(each)[-4:])
        qtbot.wait(200)
        viewer.screenshot(canvas_only=True, flash=False)
    assert not [words for words in told if "nconsistent" in words]
    assert sum("everything is shown in pixels" in words for words in told) == 1
