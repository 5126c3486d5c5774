"""The files of passes/ as modules: what tests about all of them go over."""

from functools import cache
from importlib import import_module
from pkgutil import iter_modules

import graphc.passes


@cache
def pass_modules():
    """Every module of graphc.passes by name."""
    return {name: import_module(f"graphc.passes.{name}") for _, name, _ in iter_modules(graphc.passes.__path__)}
