"""What several test files share."""

import pytest
from hypothesis import settings

settings.register_profile("patient", deadline=None)  # a busy machine is no fault of the code
settings.load_profile("patient")


def pytest_addoption(parser):
    parser.addoption("--bless", action="store_true", help="write what the code makes now into the golden files")


@pytest.fixture
def bless(request):
    """Whether golden files are to be written."""
    return request.config.getoption("--bless")
