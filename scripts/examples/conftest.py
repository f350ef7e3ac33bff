"""What the examples share: how long they load the device, and where their plots go."""

import os
import pathlib

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture
def seconds():
    """How long each load lasts: a first look by default, `DURATION=60 make test TESTS=…` for figures that count."""
    return int(os.environ.get("DURATION", 1))


@pytest.fixture
def tolerance():
    """How many times worse than promised is good enough: 1, and more on a machine that has other things to do."""
    return float(os.environ.get("TOLERANCE", 1))


@pytest.fixture
def block(nvme0n1):
    """Bytes of a logical block (NVM command set specification, "Identify Namespace": FLBAS, LBADS)."""
    return 1 << nvme0n1.id_data(128 + 4 * (nvme0n1.id_data(26) & 0xF) + 2)


@pytest.fixture
def plots():
    """A folder for pictures."""
    folder = ROOT / "target" / "examples"
    folder.mkdir(parents=True, exist_ok=True)
    return folder
