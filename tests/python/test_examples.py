"""The examples run as a tester runs them, on the device of this session, for a moment each."""

import os
import pathlib
import re
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).parents[2]
EXAMPLES = sorted(file.name for file in (ROOT / "scripts/examples").glob("test_*.py"))


@pytest.fixture(scope="module")
def outcomes(pciaddr):
    """All of them in one run: by file, how many passed, failed and were skipped; and what was logged."""
    pytest.importorskip("matplotlib")
    done = subprocess.run(
        [
            sys.executable,
            "-B",
            "-m",
            "pytest",
            "scripts/examples",
            f"--pciaddr={pciaddr}",
            "-rA",
            "-p",
            "no:cacheprovider",
        ],
        cwd=ROOT,
        env={**os.environ, "DURATION": "1", "TOLERANCE": "20", "NVME_RPC_SOCKET": ""},
        capture_output=True,
        text=True,
        timeout=400,
    )
    found = {name: [] for name in EXAMPLES}
    for outcome, name in re.findall(
        r"^(PASSED|FAILED|ERROR|SKIPPED).*scripts/examples/(\w+\.py)", done.stdout, re.MULTILINE
    ):
        found[name].append(outcome)
    return found, done.stdout


@pytest.mark.parametrize("name", EXAMPLES)
def test_it_passes(outcomes, name):
    found, said = outcomes
    # An NVMe/TCP target has no power switch.
    expected = {"SKIPPED"} if name == "test_power_cycle.py" else {"PASSED"}
    assert set(found[name]) == expected, said


def test_what_they_tell(outcomes):
    _, said = outcomes
    for told in (
        "GB/s",
        "temperature: ",
        "99.9 %",
        "steady after",
        "IOPS: 50 %",
        "as it was written",
        "replayed in",
    ):
        assert told in said, said


def test_the_plots_are_pictures(outcomes):
    for what in ("read", "write"):
        picture = (ROOT / f"target/examples/queue_depths_{what}.png").read_bytes()
        assert picture.startswith(b"\x89PNG") and len(picture) > 10_000


def test_the_documentation_lists_them():
    text = (ROOT / "docs/examples.md").read_text()
    assert [name for name in EXAMPLES if name not in text] == []
