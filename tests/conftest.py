"""Shared by all tests; its place also puts this folder on the import path, for the modules of fixtures."""
