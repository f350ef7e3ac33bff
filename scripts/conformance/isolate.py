"""Runs a command that may crash, hang, flood its output or leave processes behind, without being harmed by it."""

import contextlib
import dataclasses
import os
import pathlib
import selectors
import signal
import subprocess
import time
import uuid

# Processes inherit it, also when they leave their session: that is how those left behind are found.
MARK = "NVME_CONFORMANCE_MARK"

# What is kept of the output: its beginning and its end, this many bytes each.
KEEP = 128 << 10

# Seconds after the end of a command until processes it started count as left behind.
GRACE = 0.5


@dataclasses.dataclass
class Ended:
    """How a command ended."""

    status: int  # as subprocess has it: negative for a signal
    seconds: float
    timed_out: bool
    output: str
    left_behind: list  # the names of processes that were still there, and are not any more

    @property
    def crashed(self):
        """Whether a signal ended it that was not ours."""
        return self.status < 0 and not self.timed_out


class _Ends:
    """The beginning and the end of a stream."""

    def __init__(self):
        self._head, self._tail, self._dropped = bytearray(), bytearray(), 0

    def add(self, data):
        room = KEEP - len(self._head)
        self._head += data[:room]
        self._tail += data[room:]
        if len(self._tail) > 2 * KEEP:
            self._dropped += len(self._tail) - KEEP
            del self._tail[:-KEEP]

    def text(self):
        dropped = f"\n[… {self._dropped} bytes left out …]\n".encode() if self._dropped else b""
        return (self._head + dropped + self._tail).decode(errors="replace")


def _marked(mark, session):
    """Processes with a mark in their environment, or in the session of the one that had it first."""
    wanted = f"{MARK}={mark}".encode()
    for entry in pathlib.Path("/proc").iterdir():
        if entry.name.isdigit():
            # Gone meanwhile, or somebody else's.
            with contextlib.suppress(OSError):
                if wanted in (entry / "environ").read_bytes().split(b"\0"):
                    yield int(entry.name)
                    continue
                state, _, _, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
                if int(its_session) == session and state != "Z":
                    yield int(entry.name)


def _name(pid):
    with contextlib.suppress(OSError):
        words = pathlib.Path(f"/proc/{pid}/cmdline").read_bytes().split(b"\0")
        words[0] = words[0].rpartition(b"/")[2]
        return b" ".join(words).decode(errors="replace").strip()[:80]
    return "?"


def _kill(pids):
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def start(command, cwd, environment):
    """Start a command in a session of its own."""
    return subprocess.Popen(
        command,
        cwd=cwd,
        env=environment,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        start_new_session=True,
    )


def run(command, *, cwd, limit, environment=None, stop=None, start=start):
    """Run a command for at most `limit` seconds, or until the event `stop` is set."""
    mark = uuid.uuid4().hex
    environment = {**(os.environ if environment is None else environment), MARK: mark}
    output, begin, timed_out = _Ends(), time.monotonic(), False
    process = start(command, cwd, environment)
    # The end of the stream is no sign of anything: whoever is left behind still holds it.
    with process.stdout as stream, selectors.DefaultSelector() as selector:
        os.set_blocking(stream.fileno(), False)
        selector.register(stream, selectors.EVENT_READ)

        def drain(wait):
            for _ in selector.select(wait):
                data = stream.read(1 << 16)
                if data:
                    output.add(data)
                    return True
                # Closed early: there is nothing to wait for here any more.
                time.sleep(wait)
            return False

        while process.poll() is None:
            drain(0.02)
            if time.monotonic() - begin > limit or (stop is not None and stop.is_set()):
                timed_out = True
                process.kill()
                process.wait()
        seconds = time.monotonic() - begin
        # Helpers that end with whoever started them, as multiprocessing has them, get the time to.
        until = time.monotonic() + GRACE
        while (left := list(_marked(mark, process.pid))) and not timed_out and time.monotonic() < until:
            time.sleep(0.02)
        names = sorted(_name(pid) for pid in left)
        while left:
            _kill(left)
            time.sleep(0.01)
            # A zombie has no environment any more.
            left = list(_marked(mark, process.pid))
        # What had been written before the end.
        until = time.monotonic() + 1
        while time.monotonic() < until and drain(0):
            pass
    # What a process that is killed had running is no fault of its own.
    return Ended(process.returncode, seconds, timed_out, output.text(), [] if timed_out else names)
