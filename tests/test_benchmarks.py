"""Benchmarks against peers: what has no figures, because its results are wrong or missing; the survey."""

import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("llvmlite")


@pytest.fixture
def bench(monkeypatch):
    monkeypatch.syspath_prepend(str(Path(__file__).parent / "benchmarks"))
    import bench_peers

    return bench_peers


def save(folder, arrays):
    for number, array in enumerate(arrays):
        np.save(Path(folder) / f"{number}.npy", array)


RIGHT = [np.float64(2.0), np.arange(3.0), np.arange(4.0)]


def test_the_error_is_that_of_the_worst_result(bench, tmp_path):
    save(tmp_path, [RIGHT[0], RIGHT[1] * 1.5, RIGHT[2]])
    assert bench.error_of(tmp_path, RIGHT) == 0.5


@pytest.mark.parametrize("number", range(3))
def test_nan_in_any_result_is_an_error(bench, tmp_path, number):
    save(tmp_path, [*RIGHT[:number], RIGHT[number] * np.nan, *RIGHT[number + 1 :]])
    assert np.isnan(bench.error_of(tmp_path, RIGHT))


@pytest.mark.parametrize("wrong", [RIGHT[:2], [*RIGHT, RIGHT[0]], [RIGHT[0], RIGHT[2], RIGHT[1]]])
def test_missing_results_and_those_of_other_shapes_fail(bench, tmp_path, wrong):
    save(tmp_path, wrong)
    with pytest.raises(bench.Failed):
        bench.error_of(tmp_path, RIGHT)


def test_a_python_that_is_not_there_is_named_and_the_others_go_on(bench, tmp_path):
    with pytest.raises(bench.Failed, match="no-python cannot be run: "):
        bench.Child("pytensor", bench.CASES["hvp"], str(tmp_path), 60.0, str(tmp_path / "no-python"))


class Child:
    """A process that answers as told: its results are wrong, or it ends, from some command on."""

    def __init__(self, peer, case, caches, patience, python):
        self.peer = peer

    def ask(self, command, folder="", **arguments):
        if (self.peer, command) == ("torch", "run"):
            raise self.failure("ended without a word")
        if command in ("build", "again"):
            wrong = (self.peer, command) == ("jax", "again")
            save(folder, [np.full((), 3.0 if wrong else 2.0)] * arguments.get("steps", 1))
        return {"seconds": 0.1, "best": 1.0, "median": 2.0, "bytes": 3}

    def close(self):
        """Nothing to end."""


def test_what_fails_after_the_first_results_is_named_and_the_others_go_on(bench, monkeypatch):
    Child.failure = bench.Failed
    monkeypatch.setattr(bench, "Child", Child)
    monkeypatch.setattr(bench, "reference_of", lambda case: [np.float64(2.0)] * bench.STEPS_CHECKED)
    found = bench.measure(bench.CASES["hvp"], dict.fromkeys(["graphc", "jax", "torch"], "python"), 0.1, 2, 1.0)
    assert found["graphc"] == bench.Measured(1.0, 2.0, 0.1, 0.0, 3)
    assert str(found["jax"]) == "differs from float64 by 5.0e-01"
    assert str(found["torch"]) == "ended without a word"
    assert found["warm"] == 0.1


@pytest.fixture
def survey(bench):
    import bench_survey

    return bench_survey


def test_the_survey_runs_a_program_and_checks_it(survey, monkeypatch, capsys):
    monkeypatch.setattr(sys, "argv", ["", "two scalars", "--peer", "none", "--seconds", "0.001", "--rounds", "1"])
    survey.main()
    heads, line = capsys.readouterr().out.splitlines()
    assert "ratio" not in heads
    *name, best, median = line.split()
    assert name == ["two", "scalars"]
    assert 0 < float(best) <= float(median)


def test_a_wrong_program_has_no_ratio(survey, bench):
    found = {"graphc": bench.Failed("differs from float64 by 5.0e-01"), "jax": bench.Measured(1.0, 2.0, 0.1, 0.0, 3)}
    line, ratios = survey.row("tile", found, "jax")
    assert line.split() == ["tile", "graphc:", "differs", "from", "float64", "by", "5.0e-01"]
    assert ratios is None


def test_the_survey_names_the_programs_where_the_peer_leads(survey):
    said = survey.summary({"tile": (0.5, 1.5), "dot": (0.25, 0.5), "pad": (4.0, 3.0)}, "jax")
    assert said == "3 programs: median ratio 0.50 (med. 1.50); jax leads in dot (0.25), tile (0.50)"
