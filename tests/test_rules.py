"""Every rule is what its declaration says, and the checker sees the faults planted here."""

from importlib import import_module
from pkgutil import iter_modules

import graphc.passes
import pytest

from graphc.rules import NodeRule, Rule
from graphc.testing_rules import check_rule

MODULES = {name: import_module(f"graphc.passes.{name}") for _, name, _ in iter_modules(graphc.passes.__path__)}
RULES = [(name, value) for name, module in MODULES.items() for value in vars(module).values()
         if isinstance(value, (Rule, NodeRule))]


@pytest.mark.parametrize("rule", [r for _, r in RULES], ids=[f"{n}.{r.name}" for n, r in RULES])
def test_rule(rule):
    check_rule(rule)
