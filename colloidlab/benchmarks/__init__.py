"""Measured claims: each benchmark prints rows of name, value, unit, bar and whether the bar holds."""
