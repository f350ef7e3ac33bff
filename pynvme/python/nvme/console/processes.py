"""Which processes can be watched: one serves at the path that editors know, others beside it."""

from __future__ import annotations

import contextlib
import glob
import os
import re
import socket
import struct
from dataclasses import dataclass

DEFAULT_PATH = "/var/tmp/pynvme.sock"


@dataclass(frozen=True)
class Process:
    """A process that serves, and where."""

    path: str
    pid: int
    command: str


@dataclass(frozen=True)
class Found:
    """What there is, and sockets that only their owner may connect to."""

    processes: list[Process]
    denied: list[str]


def default_path():
    """What processes started from the same environment take."""
    return os.environ.get("NVME_RPC_SOCKET") or DEFAULT_PATH


def find(path: str) -> Found:
    """Everybody who serves at a path or beside it."""
    beside = re.compile(re.escape(path) + r"\.\d+")
    paths = [
        found for found in glob.glob(glob.escape(path) + "*") if found == path or beside.fullmatch(found)
    ]
    processes, denied = [], []
    for found in sorted(paths):
        try:
            processes.append(ask(found))
        except PermissionError:
            denied.append(found)
        except OSError:
            # Left by a process that is gone.
            continue
    return Found(processes, denied)


def ask(path: str) -> Process:
    """Who listens there. The kernel knows, so that a process that is stopped is found as well."""
    with contextlib.closing(socket.socket(socket.AF_UNIX)) as client:
        client.settimeout(1)
        client.connect(path)
        credentials = client.getsockopt(socket.SOL_SOCKET, socket.SO_PEERCRED, struct.calcsize("3i"))
    pid, _, _ = struct.unpack("3i", credentials)
    return Process(path, pid, command_of(pid))


def command_of(pid: int) -> str:
    """What was called, without the path of the interpreter."""
    try:
        with open(f"/proc/{pid}/cmdline", "rb") as file:
            words = file.read().decode(errors="replace").split("\0")[:-1]
    except OSError:
        return ""
    if words:
        words[0] = os.path.basename(words[0])
    return " ".join(word.replace("\n", " ") for word in words)
