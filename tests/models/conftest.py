import pytest

from tests.models.release_parts import Parts


@pytest.fixture(scope="session")
def parts(tmp_path_factory):
    """What releases are built from; tests copy it and leave it as it is."""
    return Parts(tmp_path_factory.mktemp("parts"))
