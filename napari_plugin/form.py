"""The options of a run as a form, made from the same definition as the flags of the command line."""

from __future__ import annotations

from typing import Any

from pydantic import ValidationError
from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QFormLayout, QFrame, QLabel, QScrollArea, QTabWidget, QWidget

from colloidlab.config import Config, Section, describe
from napari_plugin.fields import Field, label, make_field

_LEAST_HEIGHT = 160
"""Some options, px."""


class SectionForm(QScrollArea):
    """The options of one section below each other.

    Parameters
    ----------
    section : type of Section
    """

    changed = Signal()

    def __init__(self, section: type[Section]) -> None:
        super().__init__()
        inside = QWidget()
        self._rows = rows = QFormLayout(inside)
        rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
        rows.setRowWrapPolicy(QFormLayout.RowWrapPolicy.DontWrapRows)
        about = QLabel((section.__doc__ or "").partition("\n")[0])
        about.setWordWrap(True)
        rows.addRow(about)
        self.fields: dict[str, Field] = {}
        for name, info in section.model_fields.items():
            field = make_field(info, self)
            title = QLabel(label(name))
            title.setToolTip(field.widget.toolTip())
            rows.addRow(title, field.widget)
            field.changed.connect(self.changed)
            self.fields[name] = field
        self.setWidget(inside)
        self.setWidgetResizable(True)
        self.setFrameShape(QFrame.Shape.NoFrame)
        self.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.setMinimumHeight(_LEAST_HEIGHT)

    def add_panel(self, panel: QWidget, *, above: bool = False, after: int = 0) -> None:
        """Put something that belongs to this section below its fields, or above them, where it may follow some."""
        self._rows.insertRow(1 + after if above or after else self._rows.rowCount(), panel)

    def lead_with(self, *names: str) -> None:
        """Put the options that matter most first, above a panel too; a line tells them from the others."""
        for place, name in enumerate(names, start=1):
            row = self._rows.takeRow(self.fields[name].widget)
            title, editor = row.labelItem, row.fieldItem
            assert title is not None and editor is not None, "every option has a row with both"
            self._rows.insertRow(place, title.widget(), editor.widget())
        self._rows.insertRow(len(names) + 1, QLabel("<b>Further options</b>"))

    def values(self) -> dict[str, Any]:
        """What the fields hold, not validated."""
        return {name: field.value() for name, field in self.fields.items()}

    def show_options(self, options: Section) -> None:
        """Show the options of this section."""
        for name, field in self.fields.items():
            field.set_value(getattr(options, name))


class Form(QTabWidget):
    """All options, a tab for each section.

    Attributes
    ----------
    problem : str
        The sentence on what is wrong; empty where `config` is what the fields say.
    config : Config
        The last valid options.
    """

    changed = Signal()

    def __init__(self, config: Config) -> None:
        super().__init__()
        self.problem = ""
        self.sections: dict[str, SectionForm] = {}
        for name in Config.model_fields:
            section = SectionForm(type(getattr(config, name)))
            section.changed.connect(self._validate)
            self.sections[name] = section
            self.addTab(section, name.capitalize())
        self.setUsesScrollButtons(False)
        self.show_options(config)

    def show_options(self, config: Config) -> None:
        """Fill all fields, and say once that they have changed."""
        self.blockSignals(True)
        for name, section in self.sections.items():
            section.show_options(getattr(config, name))
        self.blockSignals(False)
        self._validate()

    def _validate(self) -> None:
        try:
            self.config = Config.model_validate({name: s.values() for name, s in self.sections.items()})
            self.problem = ""
            self._mark(set())
        except ValidationError as error:
            self.problem = describe(error, advice="")
            self._mark({item["loc"] for item in error.errors()})
        self.changed.emit()

    def _mark(self, wrong: set[tuple[int | str, ...]]) -> None:
        """Mark fields that are wrong and the tabs on which something is."""
        for index, (name, section) in enumerate(self.sections.items()):
            for option, field in section.fields.items():
                field.mark((name, option) in wrong)
            here = any(place[0] == name for place in wrong)
            self.setTabText(index, name.capitalize() + (" !" if here else ""))
