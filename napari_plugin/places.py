"""Where a recording is and where its results go: two paths, chosen by hand or from the selected layer."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QFileDialog, QGridLayout, QLabel, QLineEdit, QPushButton, QToolButton, QWidget

from colloidlab.errors import UsageError
from napari_plugin.scene import NAMESPACE


class Places(QWidget):
    """Recording and run folder.

    Attributes
    ----------
    recording, folder : QLineEdit
    choose_file, choose_images, choose_folder : QToolButton
        Look for a recording that is a file, one that is a folder of images, and the run folder.
    changed : Signal
        Any of the two, at every key.
    folder_chosen : Signal
        Another run folder was entered, or one was chosen.
    """

    changed = Signal()
    folder_chosen = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._proposed = self._entered = ""
        self.recording = _line("video, folder of images, or table of positions")
        self.folder = _line("made when it is not there")
        self.from_layer = QPushButton("From the selected image layer")
        self.from_layer.setToolTip("The recording of the layer that is selected in the list of layers")
        grid = QGridLayout(self)
        grid.setContentsMargins(0, 0, 0, 0)
        grid.addWidget(QLabel("recording"), 0, 0)
        grid.addWidget(self.recording, 0, 1)
        self.choose_file = _button("File…", "Choose a video, or a table of positions", self._choose_recording)
        self.choose_images = _button("Folder…", "Choose a folder of images", self._choose_images)
        grid.addWidget(self.choose_file, 0, 2)
        grid.addWidget(self.choose_images, 0, 3)
        grid.addWidget(self.from_layer, 1, 1, 1, 3)
        grid.addWidget(QLabel("run folder"), 2, 0)
        grid.addWidget(self.folder, 2, 1, 1, 2)
        self.choose_folder = _button("Folder…", "Choose the folder of the results", self._choose_folder)
        grid.addWidget(self.choose_folder, 2, 3)
        self.recording.textChanged.connect(lambda _: self.changed.emit())
        self.folder.textChanged.connect(lambda _: self.changed.emit())
        self.recording.editingFinished.connect(self._propose_folder)
        self.folder.editingFinished.connect(self._enter_folder)

    def set_recording(self, path: str) -> None:
        """Choose a recording, and a folder beside it where none was chosen by hand."""
        self.recording.setText(path)
        self._propose_folder()

    def set_folder(self, path: str) -> None:
        """Choose a run folder."""
        self.folder.setText(path)
        self._entered = path
        self.folder_chosen.emit()

    def _enter_folder(self) -> None:
        """Only another folder is a choice: the line is also left by a click elsewhere."""
        if self.folder.text() != self._entered:
            self.set_folder(self.folder.text())

    def paths(self) -> tuple[Path | None, Path | None]:
        """Recording and run folder; None for an empty line."""
        texts = [line.text().strip() for line in (self.recording, self.folder)]
        source, folder = [to_path(text) for text in texts]
        return source, folder

    def _propose_folder(self) -> None:
        source, _ = self.paths()
        # The folder that was proposed for another recording holds that one's results.
        if source is not None and source.name and self.folder.text().strip() in ("", self._proposed):
            proposed = str(source.with_name(f"{source.stem}_run"))
            if proposed != self.folder.text().strip():
                self._proposed = proposed
                self.set_folder(proposed)

    def _choose_recording(self) -> None:
        path, _ = QFileDialog.getOpenFileName(self, "Choose a recording", self.recording.text())
        if path:
            self.set_recording(path)

    def _choose_images(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Choose a folder of images", self.recording.text())
        if path:
            self.set_recording(path)

    def _choose_folder(self) -> None:
        path = QFileDialog.getExistingDirectory(self, "Choose the folder of the results", self.folder.text())
        if path:
            self.set_folder(path)


def to_path(text: str) -> Path | None:
    """What somebody has typed so far as a path; None for nothing."""
    if not text:
        return None
    try:
        return Path(text).expanduser()
    except RuntimeError:
        # "~" and a name that is no user's, or not yet.
        return Path(text)


def is_there(path: Path) -> bool:
    """Does it exist, as far as the system lets us see?"""
    try:
        return path.exists()
    except OSError:
        return False


def place_of(layer: Any) -> tuple[str, str]:
    """Recording and run folder of a layer, as text; empty where it has none.

    Raises
    ------
    UsageError
        It has neither.
    """
    ours = {} if layer is None else layer.metadata.get(NAMESPACE, {})
    path = str(ours.get("path") or "")
    if layer is not None and not path and "run" not in ours:
        path = str(getattr(layer.source, "path", None) or "")
    if not path and "run" not in ours:
        raise UsageError(
            "the selected layer comes from no file; select the layer of a recording, or choose a file"
        )
    return path, str(ours.get("run", ""))


def _line(hint: str) -> QLineEdit:
    line = QLineEdit()
    line.setPlaceholderText(hint)
    line.setToolTip(hint.capitalize())
    return line


def _button(title: str, tip: str, action: Any) -> QToolButton:
    button = QToolButton()
    button.setText(title)
    button.setToolTip(tip)
    button.clicked.connect(action)
    return button
