"""Warnings point at the user's line, whatever they tell of and wherever it was found."""

import numpy as np
import pytest

import graphc as gr

pytest.importorskip("llvmlite")

from graphc import compiler
from graphc.native import available
from graphc.native.code import host

X = gr.placeholder("x", (30, 30), "float64")
FEED = np.linspace(-1, 1, 900).reshape(30, 30)


def failing(names):
    """What refuses to compile the modules that define functions of some names."""
    compiled = host.object_code

    def compile_or_fail(text):
        if any(f'@"{name}"(' in text or f"@{name}(" in text for name in names):
            raise RuntimeError("no such instruction")
        return compiled(text)

    return compile_or_fail


def of_kernels(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "object_code", failing(["kernel"]))


def of_the_driver(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "object_code", failing(["help"]))


def of_calls(monkeypatch, tmp_path):
    monkeypatch.setattr(host, "object_code", failing(["call"]))


def of_the_backend(monkeypatch, tmp_path):
    monkeypatch.setattr(available, "knows_objects", lambda: False)
    compiler._warn_of_numpy.cache_clear()


def of_a_cache_that_is_a_file(monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path / "file"))


def of_a_cache_that_others_may_write(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    tmp_path.chmod(0o777)


def of_damaged_entries(monkeypatch, tmp_path):
    monkeypatch.setenv("GRAPHC_CACHE", str(tmp_path))
    tmp_path.chmod(0o700)
    results()
    for entry in tmp_path.iterdir():
        entry.write_bytes(b"damaged")


def of_a_dump(monkeypatch, tmp_path):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("GRAPHC_DUMP", str(tmp_path / "file"))


TROUBLES = {
    "is computed by NumPy, because": of_kernels, "runs? on NumPy": of_the_driver,
    "calls go through Python": of_calls, "graphs run on NumPy": of_the_backend,
    "cannot write to it": of_a_cache_that_is_a_file, "other users may write to it": of_a_cache_that_others_may_write,
    "is damaged": of_damaged_entries, "are not written": of_a_dump,
}  # fmt: skip


def results():
    """Of the call that plans, and of those that are native code, all on one line."""
    return [f(FEED) for f in [gr.compile([X], gr.sum(gr.tanh(X), axis=0), threads=2)] for _ in range(3)]


@pytest.mark.parametrize("trouble", TROUBLES)
def test_a_warning_points_at_the_line_that_compiles_or_calls(trouble, fresh, monkeypatch, tmp_path):
    fresh()
    TROUBLES[trouble](monkeypatch, tmp_path)
    fresh()
    with pytest.warns(RuntimeWarning, match=trouble) as seen:
        found = results()
    for value in found:
        np.testing.assert_allclose(value, np.tanh(FEED).sum(axis=0), rtol=1e-12, atol=1e-14)
    line = results.__code__.co_firstlineno + 2
    assert {(warning.filename, warning.lineno) for warning in seen} == {(__file__, line)}


def test_a_warning_of_a_cache_is_one_of_a_program(fresh, monkeypatch, tmp_path):
    of_a_cache_that_is_a_file(monkeypatch, tmp_path)
    fresh()
    with pytest.warns(RuntimeWarning) as seen:
        results()
    assert len(seen) == 1


def test_a_warning_that_is_an_error_is_raised_to_the_user_and_costs_nothing(fresh, monkeypatch, tmp_path):
    of_a_cache_that_is_a_file(monkeypatch, tmp_path)
    fresh()
    with pytest.raises(RuntimeWarning, match="cannot write to it"):
        results()
    np.testing.assert_allclose(results()[2], np.tanh(FEED).sum(axis=0), rtol=1e-12, atol=1e-14)
