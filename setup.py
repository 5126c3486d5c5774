"""Find the packages, so that none has to be listed; everything else stands in pyproject.toml."""

from setuptools import find_packages, setup

passes = ["graphc.passes", *(f"graphc.passes.{name}" for name in find_packages("passes"))]

setup(packages=[*find_packages(include=["graphc", "graphc.*"]), *passes])
