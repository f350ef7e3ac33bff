"""The test cases, what is known about each of them, and which of them run in one process."""

import dataclasses
import os
import pathlib
import subprocess
import sys

PYTEST = (sys.executable, "-m", "pytest", "-p", "no:cacheprovider")

LIMIT = 60.0

# How much longer a test may take in the lab, whose processors are emulated.
SLOWER = {"tcp": 1, "pcie": 3}


@dataclasses.dataclass(frozen=True)
class Facts:
    """What is known about a test function before it runs; a line of ratings.tsv."""

    rating: str = "?"
    limit: float = LIMIT
    needs: str = ""
    together: bool = False
    quick: bool = False
    alone: bool = False
    meant_to_fail: bool = False
    megabytes: int = 0


@dataclasses.dataclass(frozen=True)
class Case:
    """A test function with its parameters."""

    id: str  # as pytest has it: file::function[parameters]
    facts: Facts = Facts()

    @property
    def function(self):
        """The identifier without the parameters."""
        return self.id.partition("[")[0]

    @property
    def name(self):
        """The function's name, with the parameters."""
        return self.id.partition("::")[2]


def read_ratings(file, on, limit=LIMIT):
    """Facts by function, for a transport."""
    ratings, slower = {}, SLOWER[on]
    for line in pathlib.Path(file).read_text().splitlines():
        if not line or line.startswith("#"):
            continue
        function, tcp, pcie, seconds, flags, needs = line.split("\t")
        flags = dict(flag.partition("=")[::2] for flag in flags.split(",") if flag != "-")
        ratings[function] = Facts(
            rating={"tcp": tcp, "pcie": pcie}[on],
            limit=(float(seconds) if seconds != "-" else limit) * slower,
            needs=needs,
            together="together" in flags,
            quick=on == "pcie" and "quick" in flags,
            alone="alone" in flags,
            meant_to_fail="meant-to-fail" in flags,
            megabytes=int(flags.get("megabytes", 0)),
        )
    return ratings


def environment(cache):
    """The environment for pytest: the shell's options and modules do not belong to the tests.

    Compiled tests are kept in the folder `cache`: pytest rewriting their assertions takes longer than most of them.
    """
    ours = {name: value for name, value in os.environ.items() if name not in ("PYTEST_ADDOPTS", "PYTHONPATH")}
    ours.pop("PYTHONDONTWRITEBYTECODE", None)
    return {**ours, "PYTHONPYCACHEPREFIX": str(cache), "PYTHONUNBUFFERED": "1"}


def collect(folder, files, environment):
    """The identifiers of all cases in the files, in pytest's order."""
    command = [*PYTEST, "--collect-only", "-q", "-o", "addopts=", *files]
    done = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120)
    ids = [line for line in done.stdout.splitlines() if "::" in line and not line.startswith(" ")]
    if done.returncode != 0 or not ids:
        raise RuntimeError(f"cannot collect the tests in {folder}:\n{(done.stdout + done.stderr)[-2000:]}")
    return ids


# How many quick cases share a process.
COMPANY = 8


def units(cases):
    """Lists of cases that share a process: parameters of a cheap function, quick ones, and every other by itself."""
    groups, quick = {}, 0
    for case in cases:
        key = case.function if case.facts.together else case.id
        if case.facts.quick:
            key, quick = quick // COMPANY, quick + 1
        groups.setdefault(key, []).append(case)
    return list(groups.values())
