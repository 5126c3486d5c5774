"""The command line: what it prints, writes and returns, also where packages, terminals or disks fall short."""

import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from xml.etree import ElementTree

import pytest

import graphc as gr
from graphc.catalog.listing import Entry, entries, names
from graphc.cli import OPS_EXAMPLES, TRAIN_EXAMPLES, main, parser

COMMAND = [sys.executable, "-m", "graphc"]
SHORT = ["train", "--epochs", "2", "--batch", "256"]


def graphc(*arguments, **environment):
    """The finished process of a command whose output is no terminal."""
    env = os.environ | {"PYTHONIOENCODING": "utf-8"} | environment
    return subprocess.run([*COMMAND, *arguments], capture_output=True, encoding="utf-8", env=env, check=False)


# Help, version, usage.


@pytest.mark.parametrize("arguments", [["--help"], ["train", "--help"], ["ops", "--help"]])
def test_help_has_examples_and_exit_codes(arguments, capsys):
    with pytest.raises(SystemExit, match="0"):
        main(arguments)
    shown = capsys.readouterr().out
    assert "examples:\n  graphc" in shown
    assert "  130  interrupted" in shown


@pytest.mark.parametrize("line", re.findall(r"^  graphc (.*?)(?:  |$)", TRAIN_EXAMPLES + OPS_EXAMPLES, re.MULTILINE))
def test_the_examples_of_the_help_are_understood(line):
    assert parser().parse_args(shlex.split(line.split("|")[0])).run


def test_version(capsys):
    with pytest.raises(SystemExit, match="0"):
        main(["--version"])
    assert capsys.readouterr().out == f"graphc {gr.__version__}\n"


@pytest.mark.parametrize("wrong", ["", "fly", "train --epochs 0", "train --lr nan", "train --lr -1", "train --hidden x",
                                   "train --seed -1", "ops a b"])  # fmt: skip
def test_a_wrong_command_line_ends_with_2(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        main(wrong.split())
    assert "usage: graphc" in capsys.readouterr().err


def test_a_wrong_number_is_told_with_what_was_expected(capsys):
    with pytest.raises(SystemExit, match="2"):
        main(["train", "--batch", "1.5"])
    assert "argument --batch: expected a whole number ≥ 1, got '1.5'" in capsys.readouterr().err


# graphc ops


def test_ops_lists_every_op_with_what_it_has(capsys):
    assert main(["ops"]) == 0
    rows = dict(re.findall(r"^  (\S+) +([TF-][D-][N-][S-])  ", capsys.readouterr().out, re.MULTILINE))
    assert rows.keys() == {entry.name for entry in entries()}
    assert {entry.op for entry in entries()} >= set(gr.OPS.values())
    assert rows["tanh"][:2] == "TD"
    assert rows["equal"][:2] == "T-"
    assert rows["nn.softmax"] == "F--S"


def test_an_op_of_a_program_is_listed_as_one():
    def mystery(x):
        return x

    mystery.__module__ = None  # as where code runs that is no module's
    assert Entry("mystery", mystery).family == ("", "Declared by a program.")


def test_ops_tells_of_every_op(capsys):
    for name in names():
        assert main(["ops", name]) == 0
        assert capsys.readouterr().out.startswith("gr.")


def test_ops_shows_signature_docs_and_gradient(capsys):
    assert main(["ops", "sum"]) == 0
    shown = capsys.readouterr().out
    assert shown.startswith("gr.sum(x, axis=None, *, dtype=None, keepdims=False)\n\n    The sum over some axes")
    assert "\nattributes    axis, keepdims\n" in shown
    assert "broadcast_to(" in shown


@pytest.mark.parametrize(("asked", "found"), [("gr.tanh", "tanh"), ("softmax", "nn.softmax"), ("atan", "arctan")])
def test_ops_are_found_by_any_name_users_call_them_by(asked, found, capsys):
    assert main(["ops", asked]) == 0
    assert capsys.readouterr().out.startswith(f"gr.{found}(")


def test_an_unknown_op_ends_with_1_and_close_names(capsys):
    assert main(["ops", "tahn"]) == 1
    error = capsys.readouterr().err
    assert error.startswith("no op is called tahn\nRemedy: did you mean ")
    assert "tanh" in error


def test_a_reader_that_leaves_is_no_error():
    line = f"{shlex.join(COMMAND)} ops | head -n 1"
    done = subprocess.run(line, shell=True, capture_output=True, encoding="utf-8", check=True)
    assert done.stdout.count("\n") == 1
    assert done.stderr == ""


# graphc train


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """A short training as it is told, and the folder it wrote."""
    out = tmp_path_factory.mktemp("train")
    done = graphc(*SHORT, "--out", str(out))
    assert done.returncode == 0, done.stderr
    assert done.stderr == ""
    return done.stdout, out


def test_train_tells_the_whole_story(told):
    shown, _ = told
    assert "1437 pictures to learn from, 360 held out" in shown
    assert re.search(r"^held out( +3[5-7]){10}$", shown, re.MULTILINE)
    assert "graph digits(%x: f32[batch, 64], %y: i64[batch]) {" in shown
    assert re.search(r"%layer1/dW = matmul\(.*# from %matmul argument 1 by matmul, \S*demo/network.py:\d+", shown)
    assert "paths lead from %logits to %loss" in shown
    assert re.search(r"^cse +[\d.]+ +\d+ +\d+", shown, re.MULTILINE)
    assert re.search(r"^level \d +(serial|\d threads) .*\bmatmul\b", shown, re.MULTILINE)
    assert len(re.findall(r"^ +\d+ +\d\.\d{4} +\d\.\d{4} +\d\d\.\d\d%$", shown, re.MULTILINE)) == 2
    assert re.search(r"^held-out accuracy \d\d\.\d\d%: \d+ of 360 digits$", shown, re.MULTILINE)


def test_train_prints_no_control_characters_to_a_pipe(told):
    shown, _ = told
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", shown)


def test_train_counts_in_the_confusion_matrix_what_it_says_is_right(told):
    shown, _ = told
    rows = re.findall(r"^ {3}\d ((?: {1,3}(?:\d+|·)){10})$", shown, re.MULTILINE)
    counts = [[int(cell.replace("·", "0")) for cell in row.split()] for row in rows]
    assert len(counts) == 10
    assert sum(map(sum, counts)) == 360
    right = int(re.search(r"(\d+) of 360 digits", shown)[1])
    assert sum(counts[k][k] for k in range(10)) == right


def test_train_writes_the_curve_and_both_graphs(told):
    _, out = told
    assert (out / "learning-curve.png").read_bytes().startswith(b"\x89PNG\r\n")
    assert (out / "forward.dot").read_text("utf-8").startswith('digraph "digits" {')
    assert "cluster_backward" in (out / "backward.dot").read_text("utf-8")
    if shutil.which("dot"):
        assert ElementTree.parse(out / "backward.svg").getroot().tag.endswith("svg")


def test_train_learns(tmp_path, capsys):
    assert main(["train", "--quiet", "--out", str(tmp_path)]) == 0
    shown = capsys.readouterr().out
    assert shown.count("\n") == (2 if shutil.which("dot") else 3)
    assert float(re.match(r"held-out accuracy ([\d.]+)%", shown)[1]) >= 97


def test_train_repeats_itself_for_any_number_of_threads(tmp_path, capsys):
    told = []
    for threads in ("1", "2", "2"):
        assert main([*SHORT, "--quiet", "--threads", threads, "--out", str(tmp_path)]) == 0
        told.append((capsys.readouterr().out, (tmp_path / "learning-curve.png").read_bytes()))
    assert told[0] == told[1] == told[2]


def test_train_with_every_option(tmp_path, capsys):
    options = ["--hidden", "32", "16", "--lr", "0.01", "--seed", "3", "--backend", "numpy", "--fast-math", "--debug"]
    assert main([*SHORT, *options, "--out", str(tmp_path / "a" / "b")]) == 0
    assert "%layer3/W = variable : f32[16, 10]" in capsys.readouterr().out


def test_train_without_graphviz_says_so_and_still_writes_dot(tmp_path, capsys, monkeypatch):
    monkeypatch.setenv("PATH", "")
    assert main([*SHORT, "--quiet", "--out", str(tmp_path)]) == 0
    assert "drew no SVG: Graphviz's program `dot`, or its Python package, is not installed" in capsys.readouterr().out
    assert {path.name for path in tmp_path.iterdir()} == {"learning-curve.png", "forward.dot", "backward.dot"}


@pytest.mark.parametrize(("module", "package"), [("sklearn.datasets", "scikit-learn"), ("matplotlib", "matplotlib")])
def test_train_without_a_package_says_what_to_install(module, package, tmp_path, capsys, monkeypatch):
    monkeypatch.setitem(sys.modules, module, None)
    assert main([*SHORT, "--out", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert error.startswith(f"`graphc train` needs {package}, which cannot be imported")
    assert "pip install 'graphc-compiler[viz]'" in error


def test_train_into_a_file_or_over_a_folder_is_a_sentence(tmp_path, capsys):
    (tmp_path / "file").write_bytes(b"")
    assert main([*SHORT, "--out", str(tmp_path / "file")]) == 1
    assert capsys.readouterr().err == f"{tmp_path / 'file'}: File exists\n"
    (tmp_path / "out" / "learning-curve.png").mkdir(parents=True)
    assert main([*SHORT, "--quiet", "--out", str(tmp_path / "out")]) == 1
    assert "Is a directory" in capsys.readouterr().err


@pytest.fixture
def interruptible():
    """Processes begun now end by an interrupt: what shells run in the background hands down that it is ignored."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


@pytest.mark.skipif(os.name != "posix", reason="sends a signal")
def test_ctrl_c_ends_a_training_with_a_sentence(tmp_path, interruptible):
    arguments = [*COMMAND, "train", "--epochs", "1000000", "--out", str(tmp_path)]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, encoding="utf-8") as process:
        assert any(line.startswith("    3") for line in process.stdout)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=20)
    assert process.returncode == 130
    assert error == "Interrupted: stopped before the end. Files written so far are whole.\n"


# On a terminal.


def on_terminal(*arguments, **environment):
    """What a command prints to a terminal, and its exit status."""
    import pty

    output, terminal = pty.openpty()
    env = os.environ | {"TERM": "xterm-256color"} | environment
    with subprocess.Popen([*COMMAND, *arguments], stdin=terminal, stdout=terminal, stderr=terminal, env=env) as process:
        os.close(terminal)
        shown = b""
        try:
            while part := os.read(output, 65536):
                shown += part
        except OSError:  # Linux's way to say that the last writer left
            pass
        os.close(output)
    return process.returncode, shown.decode()


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_a_narrow_terminal_without_colors(tmp_path):
    status, shown = on_terminal(*SHORT, "--out", str(tmp_path), COLUMNS="40", NO_COLOR="1")
    assert status == 0
    assert "━" in shown
    assert not re.search(r"\x1b\[[\d;]*3[0-8]", shown)
    assert "\r\n      # from %matmul argument 1 by matmul, " in shown
    drawing = next(line for line in shown.split("\r\n") if "█" in line)
    assert len(re.sub(r"\x1b\[[\d;]*m", "", drawing)) <= 40  # what is shown of it


@pytest.mark.skipif(os.name != "posix", reason="pseudo-terminals are POSIX's")
def test_ops_are_cut_to_the_terminal():
    status, shown = on_terminal("ops", COLUMNS="60")
    assert status == 0
    assert max(map(len, shown.split("\r\n"))) == 60


def test_a_terminal_that_knows_ascii_only(tmp_path):
    done = graphc(*SHORT, "--out", str(tmp_path), PYTHONIOENCODING="ascii")
    assert done.returncode == 0
    assert done.stdout.isascii()
