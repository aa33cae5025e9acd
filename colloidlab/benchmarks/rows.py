"""The form that every benchmark shares."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """One measured number.

    Attributes
    ----------
    name : str
    value : float
    unit : str
    bar : str
        What is asked for, for example "> 0"; empty for a number that is only reported.
    holds : bool or None
        None where there is no bar.
    """

    name: str
    value: float
    unit: str = ""
    bar: str = ""
    holds: bool | None = None


def at_least(name: str, value: float, bar: float, unit: str = "") -> Row:
    """A number that must not be smaller than the bar."""
    return Row(name, value, unit, f">= {bar:g}", bool(value >= bar))


def at_most(name: str, value: float, bar: float, unit: str = "") -> Row:
    """A number that must not be larger than the bar."""
    return Row(name, value, unit, f"<= {bar:g}", bool(value <= bar))


def between(name: str, value: float, low: float, high: float, unit: str = "") -> Row:
    """A number that must lie between two bars."""
    return Row(name, value, unit, f"{low:g} to {high:g}", bool(low <= value <= high))
