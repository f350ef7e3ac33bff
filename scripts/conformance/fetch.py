"""Fetches pynvme's own tests: the sdist from the package index that pip is configured for, by its checksum."""

import hashlib
import pathlib
import subprocess
import sys
import tarfile

NAME, VERSION = "pynvme", "2.3.2"
SHA256 = "75f3b8ccf10bb3399906d5e6408d25dd0a9bcf0a55150a7073bac7116032e391"

# What is unpacked: the tests and what they import. Its compiled module stays packed: in this folder it would
# be imported instead of ours, in child processes at least.
MEMBERS = (
    "conftest.py",
    "driver_test.py",
    "pytest.ini",
    "scripts/psd.py",
    "scripts/test_examples.py",
    "scripts/zns.py",
)


class FetchError(Exception):
    """The tests cannot be had; the text says why and what to do."""


def download(folder):
    """The archive, verified; from `folder` if it is there already."""
    folder.mkdir(parents=True, exist_ok=True)
    archive = folder / f"{NAME}-{VERSION}.tar.gz"
    if not archive.exists():
        # pip compares the checksum before it looks inside. Afterwards it asks the package for its metadata,
        # in a build environment of its own; it cannot be told to leave that out.
        requirement = folder / "requirement.txt"
        requirement.write_text(f"{NAME}=={VERSION} --hash=sha256:{SHA256}\n")
        command = [sys.executable, "-m", "pip", "--disable-pip-version-check", "download", "--quiet"]
        command += ["--no-deps", "--no-binary", NAME, "--require-hashes", "--dest", str(folder)]
        done = subprocess.run([*command, "-r", str(requirement)], capture_output=True, text=True, timeout=600)
        if done.returncode != 0:
            said = [line for line in done.stderr.splitlines() if "ERROR" in line] or done.stderr.splitlines()
            raise FetchError(
                f"cannot download {NAME} {VERSION}: {said[-1] if said else 'pip says nothing'}\n"
                f"what to do: check the network and pip's index (pip config list), or put {archive.name} "
                f"into {folder}"
            )
    found = hashlib.sha256(archive.read_bytes()).hexdigest()
    if found != SHA256:
        raise FetchError(
            f"{archive} has the sha256 {found}, not {SHA256}\nwhat to do: remove it and run the same command again"
        )
    return archive


def unpack(archive, folder):
    """Write the members we want below `folder`, with names of our own making; returns the folder of the tests."""
    root = folder / f"{NAME}-{VERSION}"
    with tarfile.open(archive) as tar:
        for name in MEMBERS:
            source = tar.extractfile(f"{root.name}/{name}")
            if source is None:
                raise FetchError(f"{archive} has no file {name}")
            file = root / name
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(source.read())
    return root


def fetch(folder):
    """The folder of the tests, as they were published."""
    folder = pathlib.Path(folder)
    return unpack(download(folder / "download"), folder)
