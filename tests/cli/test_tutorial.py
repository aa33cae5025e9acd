"""The tutorial works as printed: its commands and its Python are run in order, and its number is right."""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
TUTORIAL = ROOT / "docs" / "tutorial.md"
FENCED = re.compile(r"^```(console|python)\n(.*?)^```$", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Block:
    """One block of code of the tutorial, and the line where it begins."""

    language: str
    code: str
    line: int

    def command(self) -> list[str]:
        if self.language == "python":
            return [sys.executable, "-c", self.code]
        typed = [line[2:] for line in self.code.splitlines() if line.startswith("$ ")]
        return ["bash", "-euo", "pipefail", "-c", "\n".join(typed)]


def blocks() -> list[Block]:
    text = TUTORIAL.read_text(encoding="utf-8")
    return [Block(m[1], m[2], text.count("\n", 0, m.start()) + 1) for m in FENCED.finditer(text)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A place of its own, with the samples, after the whole tutorial has been run in it."""
    place = tmp_path_factory.mktemp("tutorial")
    samples = place / "sample_videos"
    samples.mkdir()
    for file in (ROOT / "sample_videos").glob("brownian*"):
        shutil.copy(file, samples)
    # The reader has activated the environment: its programs come first.
    path = os.pathsep.join([str(Path(sys.executable).parent), os.environ.get("PATH", "")])
    environment = {k: v for k, v in os.environ.items() if not k.startswith("COLLOIDLAB_")} | {"PATH": path}
    for block in blocks():
        done = subprocess.run(
            block.command(),
            cwd=place,
            env=environment,
            capture_output=True,
            encoding="utf-8",
            timeout=300,
            check=False,
        )
        where = f"{TUTORIAL.name}:{block.line}"
        assert done.returncode == 0, f"{where} ended with {done.returncode}:\n{done.stdout}\n{done.stderr}"
    return place


def test_the_tutorial_has_code_of_both_kinds() -> None:
    kinds = [block.language for block in blocks()]
    assert kinds.count("console") >= 3 and kinds.count("python") >= 3
    commands = [line for b in blocks() if b.language == "console" for line in b.code.splitlines() if line]
    assert all(line.startswith("$ colloidlab ") for line in commands)


def test_its_number_is_the_one_that_was_put_in(folder: Path) -> None:
    truth = json.loads((folder / "sample_videos" / "brownian.json").read_text())["parameters"]
    for run in ("brownian", "truth"):
        found = json.loads((folder / "runs" / run / "summary.json").read_text())
        error = found["diffusion_um2_per_s_error"]
        assert 0 < error < 0.05 * truth["diffusion_um2_per_s"]
        assert abs(found["diffusion_um2_per_s"] - truth["diffusion_um2_per_s"]) < 4 * error, run


def test_it_leaves_what_it_promises(folder: Path) -> None:
    assert (folder / "msd.png").read_bytes().startswith(b"\x89PNG")
    assert "<html" in (folder / "runs" / "brownian" / "report.html").read_text(encoding="utf-8").lower()
    assert 'frames = "0:60"' in (folder / "brownian.toml").read_text()


def test_the_fit_refuses_what_it_cannot_learn(folder: Path) -> None:
    """Step 8 of the tutorial, which ends with exit code 4 on purpose."""
    done = subprocess.run(
        [sys.executable, "-m", "colloidlab", "fit", "runs/brownian"],
        cwd=folder,
        capture_output=True,
        encoding="utf-8",
        check=False,
    )
    assert done.returncode == 4, done.stderr
    assert "overdamped" in done.stderr and "Traceback" not in done.stderr


def test_links_of_the_pages_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))):
        targets = re.findall(r"\]\((?!https?:)([^)#]+)", page.read_text(encoding="utf-8"))
        # The overview picture is drawn from a run of the demo.
        missing = [t for t in targets if not (page.parent / t).exists() and not t.endswith("overview.png")]
        assert not missing, f"{page.name}: {missing}"
