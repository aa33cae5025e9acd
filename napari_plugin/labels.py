"""Sentences in a panel."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel

GOOD, BAD = "color: #7bd88f", "color: #ff7b6b"
"""Styles of a sentence that is good news, or bad."""


def text_label() -> QLabel:
    """An empty label for sentences, which can be copied; it is hidden as long as it is empty."""
    label = QLabel()
    label.setWordWrap(True)
    label.setTextInteractionFlags(Qt.TextInteractionFlag.TextSelectableByMouse)
    label.hide()
    return label


def say(label: QLabel, words: str, style: str = "") -> None:
    """Put words into a label; it is hidden where there are none."""
    label.setText(words)
    if label.styleSheet() != style:
        label.setStyleSheet(style)  # Qt works out a style anew even where nothing has changed
    label.setVisible(bool(words))
