"""The types, the layers and the style of the code, each held by its tool.

passes/ is installed as graphc.passes, so the tools are shown a copy of the tree with passes/ in that place.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
RUFF = [sys.executable, "-m", "ruff", "check"]
MYPY = [sys.executable, "-m", "mypy", "--strict", "--cache-dir", str(ROOT / ".mypy_cache" / "quality")]
LINT_IMPORTS = [str(Path(sysconfig.get_path("scripts"), "lint-imports")), "--no-cache", "--no-logo"]


@pytest.fixture
def tree(tmp_path):
    """The code as it is installed: graphc/ with passes/ inside."""
    ignore = shutil.ignore_patterns("__pycache__")
    shutil.copytree(ROOT / "graphc", tmp_path / "graphc", ignore=ignore)
    shutil.copytree(ROOT / "passes", tmp_path / "graphc" / "passes", ignore=ignore)
    shutil.copy(ROOT / "pyproject.toml", tmp_path)
    return tmp_path


def run(command, cwd, stdin=""):
    """The exit status and the whole output of a tool."""
    env = os.environ | {"PYTHONPATH": str(cwd), "COLUMNS": "200", "NO_COLOR": "1"}
    pipes = {"input": stdin, "stdout": subprocess.PIPE, "stderr": subprocess.STDOUT}
    done = subprocess.run(command, cwd=cwd, env=env, encoding="utf-8", check=False, **pipes)
    return done.returncode, done.stdout


def passes(command, cwd):
    """Fail with the tool's output unless it found nothing."""
    status, output = run(command, cwd)
    if status != 0:
        pytest.fail(output, pytrace=False)


def reports(finding, command, cwd, stdin=""):
    """Fail with the tool's output unless it found the planted fault."""
    status, output = run(command, cwd, stdin)
    if status != 1 or finding not in output:
        pytest.fail(f"exit status {status}, and expected to read: {finding}\n\n{output}", pytrace=False)


def plant(path, line):
    """Add a faulty line to the end of a file, new or old."""
    with path.open("a", encoding="utf-8") as file:
        file.write(f"\n{line}\n")


def test_types(tree):
    passes([*MYPY, "-p", "graphc"], tree)


def test_layers(tree):
    passes(LINT_IMPORTS, tree)


def test_style():
    passes([*RUFF, "."], ROOT)


def test_types_catch_a_wrong_assignment(tree):
    plant(tree / "planted.py", 'size: int = "four"')
    reports("Incompatible types in assignment", [*MYPY, "planted.py"], tree)


def test_layers_catch_an_import_from_above(tree):
    plant(tree / "graphc" / "errors.py", "import graphc.compiler")
    reports("graphc.errors is not allowed to import graphc.compiler", LINT_IMPORTS, tree)


def test_layers_catch_a_pass_importing_another(tree):
    plant(tree / "graphc" / "passes" / "planted.py", "import graphc.passes.backward")
    reports("graphc.passes.planted -> graphc.passes.backward", LINT_IMPORTS, tree)


def test_layers_catch_a_pass_reached_from_elsewhere(tree):
    plant(tree / "graphc" / "pipeline.py", "import graphc.passes")
    reports("graphc.pipeline -> graphc.passes", LINT_IMPORTS, tree)


def test_layers_catch_llvm_outside_native(tree):
    plant(tree / "graphc" / "gradients.py", "import llvmlite.binding")
    reports("graphc.gradients -> llvmlite", LINT_IMPORTS, tree)


def test_layers_catch_native_reached_from_elsewhere(tree):
    plant(tree / "graphc" / "gradients.py", "import graphc.native.code.host")
    reports("graphc.gradients -> graphc.native.code.host", LINT_IMPORTS, tree)


def test_style_catches_an_unused_import():
    reports("F401", [*RUFF, "--stdin-filename", "graphc/planted.py", "-"], ROOT, stdin="import os\n")
