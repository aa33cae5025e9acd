"""Progress on standard error: nothing for short work, a bar on a terminal, one line without."""

from __future__ import annotations

import io
import subprocess
import sys

import pytest
from rich.console import Console

from colloidlab import cli, terminal
from colloidlab.terminal import Bars


class Clock:
    """Time that passes only when told."""

    def __init__(self) -> None:
        self.now = 100.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(terminal, "time", clock)
    return clock


def drawn(clock: Clock, *, on_terminal: bool, updates: list[tuple[float, str, int, int]]) -> str:
    """What is written when (seconds, label, done, total) happen."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=on_terminal, width=100, color_system=None, highlight=False)
    start = clock.now
    with Bars(console) as bars:
        for seconds, *update in updates:
            clock.now = start + seconds
            bars(*update)
        if on_terminal:
            bars._progress.refresh()
    return stream.getvalue()


@pytest.mark.parametrize("on_terminal", [True, False])
def test_short_work_shows_nothing(clock: Clock, on_terminal: bool) -> None:
    text = drawn(clock, on_terminal=on_terminal, updates=[(0, "link", 0, 3), (1.9, "link", 3, 3)])
    assert "link" not in text


def test_long_work_has_a_bar_with_the_count(clock: Clock) -> None:
    text = drawn(clock, on_terminal=True, updates=[(0, "locate", 0, 300), (2.1, "locate", 40, 300)])
    assert "locate" in text and "40/300" in text and "left" in text


def test_without_a_terminal_one_line_at_the_end(clock: Clock) -> None:
    updates = [(0.0, "locate", 0, 300), (5.0, "locate", 100, 300), (9.0, "locate", 200, 300)]
    assert drawn(clock, on_terminal=False, updates=updates) == ""
    done = drawn(clock, on_terminal=False, updates=[*updates, (12.0, "locate", 300, 300)])
    assert done == "locate: 300 of 300 in 12 s\n"


def test_a_label_that_comes_again_is_timed_anew(clock: Clock) -> None:
    updates = [(0.0, "fit", 0, 2), (3.0, "fit", 2, 2), (3.5, "fit", 0, 2), (4.5, "fit", 2, 2)]
    assert drawn(clock, on_terminal=False, updates=updates) == "fit: 2 of 2 in 3 s\n"


def test_an_unknown_total_is_no_end(clock: Clock) -> None:
    updates = [(0.0, "read", 0, 0), (3.0, "read", 7, 0)]
    assert drawn(clock, on_terminal=False, updates=updates) == ""
    assert "read" in drawn(clock, on_terminal=True, updates=updates)


def test_the_cursor_comes_back_after_an_error(clock: Clock) -> None:
    stream = io.StringIO()
    with pytest.raises(ZeroDivisionError), Bars(Console(file=stream, force_terminal=True)):
        raise ZeroDivisionError
    assert stream.getvalue().rindex("\x1b[?25h") > stream.getvalue().rindex("\x1b[?25l")


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (
            ["simulate", "run", "--frames", "0"],
            "--frames: Input should be greater than or equal to 2 (got '0')",
        ),
        (["simulate", "run", "--body-force", "1,nan"], "--body-force '1,nan' is not finite"),
        (["run", "v.mp4", "-o", "r", "--rollout-frames", "0"], "--rollout-frames: Input should be"),
    ],
)
def test_a_wrong_option_is_called_as_it_was_typed(
    capsys: pytest.CaptureFixture[str], arguments: list[str], sentence: str
) -> None:
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    said = capsys.readouterr().err
    assert ended.value.code == 2 and sentence in said and said.count("1,nan") <= 1
    assert f"'colloidlab {arguments[0]} --help'" in said


def test_a_reader_who_has_enough_ends_a_command_quietly() -> None:
    process = subprocess.Popen(
        [sys.executable, "-c", "from colloidlab.cli import main; main(['doctor'])"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None and process.stderr is not None
    process.stdout.close()
    said = process.stderr.read()
    process.stderr.close()
    assert process.wait() == 141 and "Traceback" not in said and "BrokenPipe" not in said
