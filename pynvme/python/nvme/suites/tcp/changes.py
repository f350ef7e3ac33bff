"""Namespaces that come and go: of an embedded target by itself, of any other by a command of its owner."""

import shlex
import subprocess

# Seconds in which the owner's command has to end. A target may wait for commands on the namespace.
ENDS = 30


class ChangeFailed(Exception):
    """The namespace could not be added or removed."""


class ByCommand:
    """The command of `--nvme-namespaces`, called with `add` or `remove`."""

    def __init__(self, command):
        self._command = shlex.split(command)

    def add(self):
        """Adds a namespace to the subsystem under test."""
        self._run("add")

    def remove(self):
        """Removes the one that was added."""
        self._run("remove")

    def _run(self, what):
        command = [*self._command, what]
        said = shlex.join(command)
        try:
            process = subprocess.Popen(
                command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, stdin=subprocess.DEVNULL, text=True
            )
        except OSError as error:
            raise ChangeFailed(f"`{said}` cannot be run: {error}") from error
        try:
            output, errors = process.communicate(timeout=ENDS)
        except subprocess.TimeoutExpired:
            # Not waited for: one that the kernel holds does not even die.
            process.kill()
            raise ChangeFailed(f"`{said}` did not end within {ENDS} s") from None
        if process.returncode:
            raise ChangeFailed(
                f"`{said}` ended with status {process.returncode}: {(errors or output).strip()}"
            )


class ByRpc:
    """JSON-RPC of an embedded target: its second namespace, as SPDK makes no room for more while hosts are there."""

    NSID, DISK = 2, "ram2"

    def __init__(self, embedded):
        self._rpc, self._nqn = embedded.rpc, embedded.subnqn
        self.remove()

    def add(self):
        """Gives the namespace back."""
        self._call("nvmf_subsystem_add_ns", namespace={"bdev_name": self.DISK, "nsid": self.NSID})

    def remove(self):
        """Takes it away; its data stays."""
        self._call("nvmf_subsystem_remove_ns", nsid=self.NSID)

    def _call(self, method, **parameters):
        try:
            self._rpc(method, {"nqn": self._nqn, **parameters})
        except RuntimeError as error:
            raise ChangeFailed(str(error)) from error
