import pytest

from models.encoder import load_encoder


@pytest.fixture(scope="session")
def packaged():
    return load_encoder(device="cpu")
