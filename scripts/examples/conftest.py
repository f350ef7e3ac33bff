"""What the examples share: how long they load the device, and where their plots go."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def seconds():
    """How long each load lasts: a first look by default, `DURATION=60 make test TESTS=…` for figures that count."""
    return float(os.environ.get("DURATION", 1))


@pytest.fixture
def plots():
    """A folder for pictures."""
    folder = ROOT / "target" / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
