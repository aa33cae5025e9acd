"""The report as a page: what it says in every state of a run, and that it stands alone."""

from __future__ import annotations

import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import matplotlib
import pytest
from report_fixture import REFUSAL, Layer, make_run

from colloidlab.errors import Cancelled
from colloidlab.progress import Monitor
from colloidlab.report import figures_structure, write_report
from colloidlab.report.build import PARTS, Section, make_piece, render
from colloidlab.report.results import Results
from colloidlab.report.style import house_style, to_svg
from colloidlab.units import Calibration

VOID = {"meta", "br", "hr", "img", "link", "input", "path", "use"}
ITEMS = [item for part in PARTS for item in part.items]


class Page(HTMLParser):
    """Text, identifiers and references of a page; remembers tags that do not match."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.mismatched: list[str] = []
        self.tags: list[str] = []
        self.ids: list[str] = []
        self.references: list[str] = []
        self.words: list[str] = []
        self.callouts: list[str] = []
        self.feed(text)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).replace("\u00a0", " ").split())

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_startendtag(tag, attrs)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        for name, value in attrs:
            if name == "id":
                self.ids.append(value or "")
            elif name in {"href", "xlink:href", "src", "action", "srcset", "data"}:
                self.references.append(value or "")

    def handle_endtag(self, tag: str) -> None:
        if tag not in VOID and (not self.open or self.open.pop() != tag):
            self.mismatched.append(tag)

    def handle_data(self, data: str) -> None:
        if "style" not in self.open:
            self.words.append(data)


def read(folder: Path, *args: object, **kwargs: object) -> str:
    run = make_run(folder, *args, **kwargs)  # type: ignore[arg-type]
    path = write_report(run)
    assert path == folder / "report.html"
    return path.read_text(encoding="utf-8")


@pytest.fixture(scope="module")
def full(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    folder = tmp_path_factory.mktemp("full") / "run"
    return folder, read(folder, layer=Layer(n_side=32, n_frames=20))


def piece(html: str, name: str) -> str:
    """Source of one piece of the page."""
    found = re.search(
        rf'<div class="piece" id="{name}">(.*?)(?=<div class="piece"|</section>)', html, re.DOTALL
    )
    assert found is not None, f"no piece {name}"
    return found[1]


def test_full_run_shows_every_piece(full: tuple[Path, str]) -> None:
    for item in ITEMS:
        source = piece(full[1], item.name)
        assert 'class="absent"' not in source, item.name
        assert re.search(r"<svg|<table|<p>", source), item.name


def test_numbers_of_the_run_are_on_the_page(full: tuple[Path, str]) -> None:
    text = Page(full[1]).text
    assert "the model beats constant velocity by 0.45 ± 0.03 nats per particle and frame" in text
    assert "gains 0.036 nats per particle and frame (95 % interval 0.026 to 0.046)" in text
    assert "Diffusion coefficient 0.412 ± 0.014 µm²/s" in text
    assert "0.2 µm/px (given as an option) and 50 frames/s" in text
    assert "−0.810 −0.830 to −0.790 −0.410 −0.440 to −0.380" in text
    assert "The scale of the strongest blobs is 13 px." in text
    for error in ("0.023", "0.061", "0.084", "0.047"):
        assert error in Page(piece(full[1], "errors")).text


def test_configuration_and_provenance_are_on_the_page(full: tuple[Path, str]) -> None:
    text = Page(full[1]).text
    for expected in (
        "fit_seed = 0",
        "5e" * 32,
        "config.fit.fit_seed",
        "environment.packages.numpy",
        "stages.fit.argv",
    ):
        assert expected in text


def test_page_is_well_formed_and_references_only_itself(full: tuple[Path, str]) -> None:
    page = Page(full[1])
    assert page.mismatched == []
    assert page.open == []
    assert "script" not in page.tags and "link" not in page.tags and "iframe" not in page.tags
    assert len(page.ids) == len(set(page.ids))
    inner = [r for r in page.references if r.startswith("#")]
    assert len(inner) > 50
    assert {r[1:] for r in inner} <= set(page.ids)
    assert all(r.startswith("data:image/png;base64,") for r in page.references if r not in inner)
    assert set(re.findall(r"url\(#([^)]+)\)", full[1])) <= set(page.ids)
    assert not re.search(r"https?:|//www\.|@import|url\((?!#)", full[1])


def test_tracks_alone_say_which_commands_come_next(tmp_path: Path) -> None:
    folder = tmp_path / "run"
    html = read(folder, "track", Layer(n_side=6, calibration=Calibration()))
    text = Page(html).text
    assert "Lengths are in px and times in frames: give --um-per-px and --fps." in text
    assert f"run 'colloidlab fit {folder}' to make it" in text
    assert f"run 'colloidlab fit {folder}' and then 'colloidlab simulate {folder}' to make it" in text
    assert "µm" not in text
    assert "No dynamics were fitted" not in text
    assert "<svg" in piece(html, "curves")


def test_page_of_a_thousand_particles_stays_below_8_mb(full: tuple[Path, str]) -> None:
    # The number of frames hardly counts: maps show single frames, and curves are curves.
    assert 1e6 < len(full[1]) < 8e6


def test_refused_fit_is_said_at_the_top_and_hides_what_an_earlier_fit_left(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", layer=Layer(n_side=6))
    run.record["stages"]["fit"]["facts"] = {"refused": REFUSAL}
    run.summarise("fit", {"regime": "overdamped"})
    html = write_report(run).read_text(encoding="utf-8")
    header = Page(html[: html.index("<nav")]).text
    assert f"No dynamics were fitted. {REFUSAL[0].upper()}{REFUSAL[1:]}" in header
    assert "Diffusion coefficient 0.412 ± 0.014 µm²/s" in header
    assert "overdamped; no inertial model was fitted" in header
    assert "beats constant velocity" not in html and "temperature identified" not in header
    after = html[html.index('<section id="model">') :]
    assert "<svg" not in after
    assert after.count("Not available, because the fit was refused:") == 2


def test_run_that_began_with_a_table_has_maps_but_no_picture(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "track", Layer(n_side=4))
    (run.path / "preview.png").unlink()
    run.record["stages"]["track"]["facts"]["from_table"] = True
    for name in ("tracks", "features"):
        run.write_table(name, run.read_table(name)[["frame", "x", "y"] + ["particle"] * (name == "tracks")])
    results = Results(run)
    made = {item.name: make_piece(item, results) for item in PARTS[0].items + PARTS[1].items}
    assert {name for name, piece in made.items() if piece.absent} == {"detections"}
    assert "began with a table of positions" in made["detections"].absent


def test_text_of_others_is_escaped(tmp_path: Path) -> None:
    evil = "<script>alert(1)</script>&\"'<b>.mp4"
    run = make_run(tmp_path / "run", "track", Layer(n_side=4, source=evil))
    run.record["stages"]["track"]["facts"]["reasons"] = {
        "minmass": "</td><img src=x onerror=1>",
        "<i>": "$x$",
    }
    run.record["stages"]["track"]["argv"] = ["</pre><script>"]
    run.record["config"]["video"]["roi"] = "</pre><script>"
    run.summarise("track", {"regime": "<u>", "notes": ["<s>note</s>"]})
    table = run.read_table("curves")
    run.write_table("curves", table.assign(x_unit="<b>$\\frac$", y_unit='"><script>'))
    results = Results(run)
    with house_style():
        pieces = tuple(
            make_piece(item, results) for item in ITEMS if item.name in {"parameters", "motion", "curves"}
        )
    html = render(results, (Section("any", "Any", pieces),))
    page = Page(html)
    assert not {"script", "img", "b", "i", "u", "s"} & set(page.tags)
    assert page.mismatched == []
    assert "b>.mp4" in page.text and "<img src=x onerror=1>" in page.text and "<s>note</s>." in page.text


def test_missing_curves_are_named(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "track", Layer(n_side=4))
    table = run.read_table("curves")
    run.write_table("curves", table[table["quantity"] != "g_r"])
    caption = figures_structure.curves(Results(run)).caption
    assert caption.endswith("g(r) is not there.")


def test_drawing_is_repeatable_and_independent_of_a_persons_matplotlibrc(tmp_path: Path) -> None:
    results = Results(make_run(tmp_path / "run", "track", Layer(n_side=4)))

    def draw() -> str:
        with house_style():
            return to_svg(figures_structure.curves(results).figure, "curves", "label")

    plain = draw()
    with matplotlib.rc_context({"text.usetex": True, "axes.grid": True, "font.size": 30.0}):
        assert draw() == plain
        assert matplotlib.rcParams["font.size"] == 30.0
        assert matplotlib.rcParams["text.usetex"] is True


def test_stopping_keeps_the_page_that_was_there(tmp_path: Path) -> None:
    run = make_run(tmp_path / "run", "track", Layer(n_side=4))
    run.write_text("report.html", "earlier")
    done: list[int] = []
    monitor = Monitor(lambda label, n, total: done.append(n), lambda: len(done) >= 3)
    with pytest.raises(Cancelled):
        write_report(run, monitor=monitor)
    assert (tmp_path / "run" / "report.html").read_text() == "earlier"
    assert done == [0, 1, 2]


def test_importing_the_report_brings_neither_torch_nor_pyplot() -> None:
    heavy = "('torch', 'matplotlib.pyplot', 'cv2')"
    code = f"import sys, colloidlab.report; print([m for m in {heavy} if m in sys.modules])"
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert found.stdout.strip() == "[]"
