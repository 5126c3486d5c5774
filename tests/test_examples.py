"""What README.md shows happens, and the example program does what it is there to show."""

import re
import subprocess
import sys

import pytest
from documents import ROOT, run

README = ROOT / "README.md"
PICTURE = ROOT / "docs" / "pictures" / "example.dot"
PROGRAM = ROOT / "docs" / "examples" / "train_digits.py"


@pytest.fixture(scope="module")
def readme():
    return run(README)


def test_readme_prints_what_it_says(readme, bless):
    if bless:
        README.write_text(readme.text, "utf-8")
    assert readme.text == README.read_text("utf-8")


def test_readme_shows_the_picture_of_its_example(readme, bless):
    dot = readme.names["back"].to_dot()
    if bless:
        import graphviz

        PICTURE.write_text(dot, "utf-8")
        PICTURE.with_suffix(".svg").write_bytes(graphviz.Source(dot).pipe("svg"))
    assert PICTURE.read_text("utf-8") == dot
    labels = set(re.findall(r">(%[^<]+)</text>", PICTURE.with_suffix(".svg").read_text("utf-8")))
    assert labels == {f"%{name}" for name in re.findall(r'^    "%(\S+)" \[', dot, re.MULTILINE)}


@pytest.mark.parametrize("marker", ["run-command", "test-command"])
def test_readme_gives_one_command_after_each_marker(marker):
    found = re.findall(rf"<!-- {marker} -->\n```sh\n(.*?)```", README.read_text("utf-8"), re.DOTALL)
    assert len(found) == 1
    assert found[0].count("\n") == 1
    assert found[0].startswith("python3 -m venv .venv && .venv/bin/pip install -e '.[all]' && .venv/bin/")


def test_the_documents_catch_an_output_that_is_not_printed(tmp_path):
    path = tmp_path / "planted.md"
    path.write_text("```python\nprint(1 + 1)\n```\n\nprints\n\n```text\n3\n```\n", "utf-8")
    assert run(path).text == path.read_text("utf-8").replace("3", "2")


def test_the_documents_catch_a_print_without_output(tmp_path):
    path = tmp_path / "planted.md"
    path.write_text("```python\nprint(1)\n```\n", "utf-8")
    with pytest.raises(AssertionError, match="no ```text block"):
        run(path)


def test_the_example_program_learns_and_draws(tmp_path):
    picture = tmp_path / "curve.png"
    command = [sys.executable, PROGRAM, "30", picture]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, encoding="utf-8", check=True)
    epochs = re.findall(r"^epoch .* accuracy ([\d.]+)%$", done.stdout, re.MULTILINE)
    assert len(epochs) == 30
    assert float(epochs[-1]) >= 97
    assert "by matmul, docs/examples/train_digits.py:" in done.stdout
    assert picture.read_bytes().startswith(b"\x89PNG")


def test_the_example_program_is_short_and_public():
    source = PROGRAM.read_text("utf-8")
    assert source.count("\n") < 80
    assert re.findall(r"^(?:import|from) graphc.*", source, re.MULTILINE) == ["import graphc as gr"]
