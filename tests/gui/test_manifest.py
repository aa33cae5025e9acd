"""What napari can call is there and answers; what is not ours is left to others."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib import import_module
from pathlib import Path

import numpy as np
import pytest
from gui.conftest import MANIFEST, ROOT, number_in
from napari.components import ViewerModel
from napari.layers import Layer
from napari.utils.notifications import notification_manager
from npe2 import PluginManifest
from npe2._pytest_plugin import TestPluginManager

from colloidlab.errors import InputError
from colloidlab.run import Run
from colloidlab.video.open import READERS
from napari_plugin import readers, samples
from napari_plugin.readers import VIDEO_SUFFIXES, get_reader


def test_the_manifest_is_valid_and_every_command_is_there() -> None:
    manifest = PluginManifest.from_file(MANIFEST)
    assert manifest.name == "colloidlab"
    commands = manifest.contributions.commands
    for command in commands:
        module, name = command.python_name.split(":")
        assert callable(getattr(import_module(module), name))
    called = [c.command for c in (*manifest.contributions.readers, *manifest.contributions.writers)]
    assert set(called) <= {c.id for c in commands}


def test_npe2_finds_nothing_to_complain_about() -> None:
    done = subprocess.run(
        [sys.executable, "-m", "npe2", "validate", str(MANIFEST)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_manifest_names_every_format_of_the_reader() -> None:
    [reader] = PluginManifest.from_file(MANIFEST).contributions.readers
    assert set(reader.filename_patterns) == {"run.toml", *("*" + suffix for suffix in VIDEO_SUFFIXES)}
    assert set(READERS) <= VIDEO_SUFFIXES and reader.accepts_directories


def test_importing_a_reader_brings_no_torch_along() -> None:
    probe = "import sys, napari_plugin.readers, napari_plugin.writers; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", probe], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.strip() == "False"


def test_napari_opens_a_recording(plugin: TestPluginManager, clip: Path) -> None:
    viewer = ViewerModel()
    [layer] = viewer.open(str(clip), plugin="colloidlab")
    assert layer.data.shape == (120, 48, 64) and number_in(layer.data[99]) == 99


@pytest.mark.parametrize("what", ["folder", "run.toml"])
def test_napari_opens_a_run(plugin: TestPluginManager, run: Run, what: str) -> None:
    viewer = ViewerModel()
    path = run.path if what == "folder" else run.path / "run.toml"
    layers = viewer.open(str(path), plugin="colloidlab")
    assert "put it beside the run folder" in notification_manager.records[-1].message
    assert len(layers) > 10 and viewer.dims.axis_labels == ("frame", "y", "x")


def test_a_folder_of_images_is_a_recording(clip: Path, tmp_path: Path) -> None:
    import cv2

    for k in range(3):
        cv2.imwrite(
            str(tmp_path / f"frame_{k}.png"), np.full((8, 9), k, np.uint8) + np.eye(8, 9, dtype=np.uint8)
        )
    read = get_reader(str(tmp_path))
    assert read is not None and read(str(tmp_path))[0][0].shape == (3, 8, 9)


def test_what_is_not_ours_is_left_to_others(tmp_path: Path) -> None:
    for name in ("positions.csv", "other.toml", "notes.txt", "array.npy"):
        (tmp_path / name).write_text("a")
        assert get_reader(str(tmp_path / name)) is None
    assert get_reader(str(tmp_path)) is None
    assert get_reader(["a.mp4", "b.mp4"]) is None and get_reader(str(tmp_path / "gone")) is None


def test_a_broken_recording_is_refused_with_a_sentence(tmp_path: Path) -> None:
    path = tmp_path / "broken.mp4"
    path.write_bytes(b"no video at all")
    read = get_reader(str(path))
    assert read is not None
    with pytest.raises(Exception, match=r"broken\.mp4 cannot be read as a video .*; check that"):
        read(str(path))


def test_an_empty_folder_is_refused_with_a_sentence(plugin: TestPluginManager, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"holds no images .*; it is empty"):
        ViewerModel().open(str(tmp_path), plugin="colloidlab")


def test_napari_saves_the_particles_of_a_run(plugin: TestPluginManager, run: Run) -> None:
    viewer = ViewerModel()
    for layer in readers.run_layers(run):
        viewer.add_layer(Layer.create(*layer))
    layer = viewer.layers["particles"]
    layer.selected_data = {0}
    layer.remove_selected()
    assert layer.save(str(run.path / "tracks.parquet"), plugin="colloidlab")
    assert Run(run.path).facts("track")["repairs"][0]["removed"] == 1


@pytest.mark.parametrize("name", ["sheared_monolayer", "brownian"])
def test_samples_are_those_of_the_source_tree(plugin: TestPluginManager, name: str) -> None:
    viewer = ViewerModel()
    [layer] = viewer.open_sample("colloidlab", name)
    about = json.loads((ROOT / "sample_videos" / f"{name}.json").read_text())["parameters"]
    assert layer.scale[1] == about["um_per_px"] and str(layer.units[2]) == "micrometer"
    assert layer.data.n_decoded >= 1 and layer.data.shape[0] == 300
    calibration = layer.metadata["colloidlab"]["calibration"]
    assert calibration["um_per_px"] == about["um_per_px"]


def test_a_sample_that_is_not_there_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = []

    def write(name: str, folder: Path, *, monitor: object) -> None:
        made.append(name)
        folder.mkdir(parents=True)
        for end in (".json", ".mp4"):
            (folder / f"{name}{end}").write_text("{}")

    monkeypatch.setattr(samples, "write_sample", write)
    monkeypatch.setattr(
        samples.colloidlab, "__file__", str(tmp_path / "site-packages" / "colloidlab" / "__init__.py")
    )
    for _ in range(2):
        assert samples.sample_video("brownian", tmp_path / "cache") == tmp_path / "cache" / "brownian.mp4"
    assert made == ["brownian"]
