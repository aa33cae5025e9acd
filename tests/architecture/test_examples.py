"""Examples in docstrings say what is true."""

from __future__ import annotations

import doctest
import importlib

import pytest
from architecture.source_tree import PLUGIN, modules

WITH_EXAMPLES = sorted(
    name
    for name, path in {**modules(), **modules(PLUGIN)}.items()
    if ">>>" in path.read_text(encoding="utf-8")
)


@pytest.mark.parametrize("name", WITH_EXAMPLES)
def test_examples_of_a_module_give_what_they_say(name: str) -> None:
    """Those that read files of somebody's are skipped, and must say so."""
    module = importlib.import_module(name)
    found = [example for test in doctest.DocTestFinder().find(module) for example in test.examples]
    assert found
    assert doctest.testmod(module).failed == 0
