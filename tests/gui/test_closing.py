"""What is left of a window when it is closed: nothing that runs, and nothing that ends the program."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]

_SCRIPT = """
import gc
from qtpy.QtWidgets import QApplication, QWidget
from napari_plugin.jobs import Job, stop_with, when_gone

app = QApplication([])
{body}
print("still here")
"""

_CLOSED = """
from napari.components import ViewerModel
from napari_plugin.analyse import Analyse
for _ in range(2):
    window = Analyse(ViewerModel())
    window.show()
    app.processEvents()
    window.close()
    del window
    assert gc.collect()
"""

_TOLD = """
heard = []
widget = QWidget()
widget.itself = widget  # garbage only for the collector
when_gone(widget, lambda: heard.append("gone"))
del widget
gc.collect()
assert heard == ["gone"]
"""

_RUNNING = """
import time
def work(monitor):
    while True:
        monitor.update("work", 0, 0)
        time.sleep(0.01)
widget, job = QWidget(), Job(work)
widget.itself = widget
stop_with(widget, job)
job.begin()
assert job.isRunning()
del widget
gc.collect()
assert not job.isRunning()
"""


@pytest.mark.parametrize("body", [_CLOSED, _TOLD, _RUNNING], ids=["closed", "told", "running"])
def test_what_python_collects_of_a_closed_window_does_not_end_the_program(qapp: object, body: str) -> None:
    """In a process of its own: what fails here is a segmentation fault."""
    done = subprocess.run(
        [sys.executable, "-c", _SCRIPT.format(body=body)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (done.returncode, done.stdout.strip()) == (0, "still here"), done.stderr[-2000:]
