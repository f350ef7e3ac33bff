"""What the Python tests share."""

import os
import subprocess
import sys
import textwrap
import time

import nvme
import pytest


def eventually(true, seconds=30):
    """Wait for what is bound to become true."""
    end = time.monotonic() + seconds
    while not true():
        assert time.monotonic() < end, f"not within {seconds} s"
        time.sleep(0.01)


@pytest.fixture
def run():
    """Run a script in an interpreter of its own; returns the finished process."""

    def run(script, *arguments, timeout=180, **options):
        # The session serves consoles; what it starts need not.
        options.setdefault("env", {**os.environ, "NVME_RPC_SOCKET": ""})
        return subprocess.run(
            [sys.executable, "-X", "faulthandler", "-c", textwrap.dedent(script), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            **options,
        )

    return run


OPEN = """
import gc, multiprocessing, os, signal, sys, threading, time, warnings
import nvme as d
address, *arguments = sys.argv[1:]
pcie = d.Pcie(address)
nvme0 = d.Controller(pcie)
nvme0n1 = d.Namespace(nvme0)
qpair = d.Qpair(nvme0, 64)
buf = d.Buffer(4096)
"""


class Safely:
    """Runs scripts that could take the interpreter down, with a device open: see OPEN for the names they find."""

    def __init__(self, run, address):
        self.run, self.address = run, address

    def __call__(self, script, *arguments, code=0, timeout=120):
        """Run one; returns what it printed, and fails if it ends in another way than meant."""
        finished = self.run(OPEN + textwrap.dedent(script), self.address, *arguments, timeout=timeout)
        said = f"{finished.stdout}\n--\n{finished.stderr}"
        assert finished.returncode == code, f"exit code {finished.returncode}\n{said}"
        for bad in ("panicked", "Fatal Python error", "PanicException"):
            assert bad not in finished.stderr, said
        self.stderr = finished.stderr
        return finished.stdout


@pytest.fixture
def safely(run, pciaddr):
    """Run scripts in an interpreter of their own, on the device under test."""
    return Safely(run, pciaddr)


@pytest.fixture
def own_target():
    """A target of the test's own: it may be stopped or killed."""
    with nvme.Target(megabytes=16) as target:
        yield target
