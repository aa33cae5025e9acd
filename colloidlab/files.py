"""Writing results so that a crash, a full disk or Ctrl-C never leaves half a file behind."""

from __future__ import annotations

import hashlib
import os
import shutil
import uuid
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def atomic_path(target: Path) -> Iterator[Path]:
    """Give a temporary sibling of `target` to write to; it takes the target's place only on success.

    Works for files and for folders (a Zarr store). The data and the folder entry
    are flushed to disk before and after the exchange.
    """
    target.parent.mkdir(parents=True, exist_ok=True)
    temporary = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.part"
    try:
        yield temporary
        if temporary.is_dir():
            _replace_folder(temporary, target)
        else:
            _flush(temporary)
            os.replace(temporary, target)
        _flush(target.parent)
    finally:
        if temporary.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
        else:
            temporary.unlink(missing_ok=True)


@contextmanager
def atomic_paths(targets: Sequence[Path]) -> Iterator[list[Path]]:
    """Give temporary siblings of several files; they take their places once all of them are on the disk."""
    temporaries = [t.parent / f".{t.name}.{uuid.uuid4().hex[:8]}.part" for t in targets]
    try:
        yield temporaries
        for temporary in temporaries:
            _flush(temporary)
        for temporary, target in zip(temporaries, targets, strict=True):
            os.replace(temporary, target)
        for folder in {target.parent for target in targets}:
            _flush(folder)
    finally:
        for temporary in temporaries:
            temporary.unlink(missing_ok=True)


def _replace_folder(temporary: Path, target: Path) -> None:
    # A non-empty folder cannot be replaced in one call: the old one steps aside and is put back on failure.
    flush_files(temporary)
    aside = target.parent / f".{target.name}.{uuid.uuid4().hex[:8]}.old"
    had_old = target.exists()
    if had_old:
        os.replace(target, aside)
    try:
        os.replace(temporary, target)
    except OSError:
        if had_old:
            os.replace(aside, target)
        raise
    if had_old:
        shutil.rmtree(aside, ignore_errors=True)


def flush_files(folder: Path) -> None:
    """See that all files of a folder are on disk."""
    for item in folder.rglob("*"):
        if item.is_file():
            _flush(item)


def _flush(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sha256(path: Path) -> str:
    """Hash of a file, or of a folder's file names and contents in sorted order."""
    digest = hashlib.sha256()
    if path.is_dir():
        for item in sorted(p for p in path.rglob("*") if p.is_file()):
            digest.update(str(item.relative_to(path)).encode() + b"\0")
            digest.update(sha256(item).encode())
    else:
        with path.open("rb") as stream:
            while block := stream.read(1 << 20):
                digest.update(block)
    return digest.hexdigest()
