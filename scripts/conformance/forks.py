"""Starts Python modules by forking a process that has imported what they need, where starting Python takes seconds.

The server is a process of its own: it never imports the module under test, runs no threads, and starts one command at a
time. What it forks goes on as `python -m MODULE` would, from the session of its own to the interpreter's regular end.
"""

import contextlib
import importlib
import json
import os
import runpy
import signal
import socket
import subprocess
import sys

# What pytest and the tests import, but for the module under test.
PRELOADED = (
    "pytest",
    "narrow",
    "ctypes",
    "glob",
    "logging",
    "multiprocessing.context",
    "pygments.formatters.terminal",
    "pygments.lexers.python",
    "random",
    "statistics",
    "xml.etree.ElementTree",
)


class Forked:
    """What was started, as far as it can stand in for a subprocess.Popen."""

    def __init__(self, server, pid, stdout):
        self._server, self.pid, self.stdout, self.returncode = server, pid, stdout, None

    def poll(self):
        """The status, or None while it runs."""
        if self.returncode is None:
            with contextlib.suppress(BlockingIOError):
                self.returncode = _answer(self._server, socket.MSG_DONTWAIT)
        return self.returncode

    def wait(self):
        """The status, once it has ended."""
        if self.returncode is None:
            self.returncode = _answer(self._server)
        return self.returncode

    def kill(self):
        """End it now."""
        with contextlib.suppress(ProcessLookupError):
            os.kill(self.pid, signal.SIGKILL)


def _answer(server, flags=0):
    answer = server.recv(64, flags)
    if not answer:
        raise RuntimeError("the process that forks the tests has ended")
    return int(answer)


class Forks:
    """A server's owner. Use it as a context manager."""

    def __init__(self, environment):
        self._environment = environment

    def __enter__(self):
        self._server, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with other:
            command = [sys.executable, __file__, str(other.fileno())]
            self._process = subprocess.Popen(command, env=self._environment, pass_fds=[other.fileno()])
        return self

    def __exit__(self, *_):
        self._server.close()
        self._process.wait()

    def start(self, command, cwd, environment):
        """Start `python -m MODULE ARGUMENT…`; the one before has ended by now."""
        assert command[:2] == [sys.executable, "-m"], command
        read, write = os.pipe()
        request = {"arguments": command[2:], "cwd": str(cwd), "environment": environment}
        socket.send_fds(self._server, [json.dumps(request).encode()], [write])
        os.close(write)
        return Forked(self._server, _answer(self._server), open(read, "rb", 0))


def _serve(connection):
    """Fork for each request; returns in the child, with its request, and in the server, with None, at the end."""
    while True:
        request, descriptors, _, _ = socket.recv_fds(connection, 1 << 20, 1)
        if not request:
            return None
        pid = os.fork()
        if pid == 0:
            connection.close()
            return json.loads(request), descriptors[0]
        os.close(descriptors[0])
        connection.send(str(pid).encode())
        connection.send(str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode())


def _become(request, output):
    """Make this process what a fresh interpreter would be at its module's first line."""
    os.setsid()
    for number, descriptor in enumerate((os.open(os.devnull, os.O_RDONLY), output, output)):
        os.dup2(descriptor, number)
    os.close(output)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["environment"])
    sys.argv = list(request["arguments"])
    sys.path[0] = request["cwd"]


if __name__ == "__main__":
    for preloaded in PRELOADED:
        importlib.import_module(preloaded)
    for plugin in sys.modules["_pytest.config"].default_plugins:
        importlib.import_module(f"_pytest.{plugin}")
    if work := _serve(socket.socket(fileno=int(sys.argv[1]))):
        _become(*work)
        runpy.run_module(sys.argv[0], run_name="__main__", alter_sys=True)
