"""Every error is a sentence: golden files of code that uses graphc wrongly, and exactly what the user reads.

A file `tests/goldens/errors/what_is_wrong.txt` is a comment with one sentence, Python code that raises in its last
statement, `---`, and `ErrorClass: message`. `gr` and `np` are there. The code runs as the file example.py.
`pytest tests/test_error_goldens.py --bless` writes what is raised now: then read it aloud.
"""

import re
import tempfile
from pathlib import Path
from unittest import mock

import numpy as np
import pytest

import graphc as gr

FOLDER = Path(__file__).parent / "goldens" / "errors"
FILES = sorted(FOLDER.glob("*.txt"))
SAVED = re.compile(re.escape(tempfile.gettempdir()) + r"/[\w.-]+")


def raised_by(code):
    """What running the code raises, as the user reads it; files made on the way are called FILE, and its ops go."""
    with mock.patch.dict(gr.OPS), pytest.raises(Exception) as raised:  # noqa: PT011 - the file says which
        exec(compile(code, "example.py", "exec"), {"gr": gr, "np": np})
    return SAVED.sub("FILE", f"{raised.type.__name__}: {raised.value}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_error(path, bless):
    code, _, message = path.read_text("utf-8").partition("\n---\n")
    raised = raised_by(code)
    if bless:
        message = f"{raised}\n"
        path.write_text(f"{code.rstrip()}\n---\n{message}", "utf-8")
    assert raised == message.rstrip()


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_the_message_helps(path):
    """It is of graphc's error tree, says what was expected or what is wrong, whose line it was, and what to do."""
    code, _, message = path.read_text("utf-8").partition("\n---\n")
    assert re.match(r"# [A-Z\d].*\.$", code.splitlines()[0]), "expected a sentence in the first line"
    kind = getattr(gr, message.split(":")[0], None)
    assert isinstance(kind, type), f"{message.split(':')[0]} is no error of graphc"
    assert issubclass(kind, gr.GraphcError)
    assert "\nRemedy: " in message
    assert not re.search(r"graphc/|passes/|site-packages|0x[0-9a-f]{6}|np\.float|dtype\(", message), "the inside shows"


def test_there_are_many():
    assert len(FILES) >= 70


# Planted faults: the runner must see each.


def test_another_message_fails(tmp_path):
    path = tmp_path / "planted.txt"
    path.write_text(
        "# A shape that is none.\ngr.placeholder('x', -1)\n---\nShapeError: expected a dim ≥ 0, got -2\n", "utf-8"
    )
    with pytest.raises(AssertionError, match="got -1"):
        test_error(path, bless=False)


def test_ops_that_code_declares_are_not_left():
    before = dict(gr.OPS)
    raised = raised_by("gr.primitive(infer=lambda x: x, name='one_of_an_example')(lambda x: x)\nraise ValueError")
    assert raised == "ValueError: "
    assert before == gr.OPS


def test_code_that_raises_nothing_fails(tmp_path):
    path = tmp_path / "planted.txt"
    path.write_text(
        "# Nothing is wrong here.\ngr.placeholder('x')\n---\nShapeError: expected a dim ≥ 0, got -1\n", "utf-8"
    )
    with pytest.raises(pytest.fail.Exception):
        test_error(path, bless=False)


def test_a_message_without_a_remedy_fails(tmp_path):
    path = tmp_path / "planted.txt"
    path.write_text(
        "# A shape that is none.\ngr.placeholder('x', -1)\n---\nShapeError: expected a dim ≥ 0, got -1\n", "utf-8"
    )
    with pytest.raises(AssertionError, match="Remedy"):
        test_the_message_helps(path)
