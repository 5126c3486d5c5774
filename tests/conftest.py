"""What several test files share."""

import os
import tempfile

import pytest
from hypothesis import settings

from graphc import compiler

settings.register_profile("patient", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption("--bless", action="store_true", help="write what the code makes now into the golden files")
    parser.addoption("--programs", type=int, default=400, help="how many random programs long searches run")


@pytest.fixture
def bless(request):
    """Whether golden files are to be written."""
    return request.config.getoption("--bless")


def pytest_configure(config):
    """Kernels are compiled once in a session: its workers share a directory, which goes with it."""
    if "GRAPHC_CACHE" not in os.environ:
        config.graphc_cache = tempfile.TemporaryDirectory(prefix="graphc-kernels-")
        os.environ["GRAPHC_CACHE"] = config.graphc_cache.name


def pytest_unconfigure(config):
    if hasattr(config, "graphc_cache"):
        del os.environ["GRAPHC_CACHE"]
        config.graphc_cache.cleanup()


@pytest.fixture(params=["native", "numpy"])
def each_backend(request, monkeypatch):
    """What `backend="auto"` means in a test that runs on either: the reference stays as tested as what replaces it."""
    if request.param == "native":
        pytest.importorskip("llvmlite")
    else:
        monkeypatch.setattr(compiler, "_native_runs", lambda: False)
    return request.param
