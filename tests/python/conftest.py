"""What the Python tests share."""

import os
import subprocess
import sys
import textwrap

import pytest


@pytest.fixture
def run():
    """Run a script in an interpreter of its own; returns the finished process."""

    def run(script, *arguments, timeout=60, **options):
        # The session serves consoles; what it starts need not.
        options.setdefault("env", {**os.environ, "NVME_RPC_SOCKET": ""})
        return subprocess.run(
            [sys.executable, "-c", textwrap.dedent(script), *arguments],
            capture_output=True,
            text=True,
            timeout=timeout,
            **options,
        )

    return run
