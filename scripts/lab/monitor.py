"""QEMU's monitor, from inside the guest: unplugs controllers and plugs them in again.

On the command line, in the guest: `monitor.py unplug plain`, `monitor.py plug plain`, or any command of QMP with its
arguments as JSON, `monitor.py query-pci`.
"""

import contextlib
import json
import os
import pathlib
import select
import sys
import time

import controllers

PORT = "/dev/virtio-ports/qmp"

DEVICES = pathlib.Path("/sys/bus/pci/devices")

# Of configuration space: the Command register and its bit for memory.
COMMAND, MEMORY_SPACE = 4, 2

# Seconds in which the emulated controller ends what it has begun.
UNDER_WAY = 0.05


class MonitorError(Exception):
    """QEMU refused a command, or did not answer in time."""


class Monitor:
    """A session with the monitor. One at a time can be open in the guest."""

    def __init__(self, path=PORT):
        self._port = os.open(path, os.O_RDWR | os.O_NONBLOCK)
        self._received = b""
        self._number = os.getpid() * 1000
        # What an earlier session left half said is forgotten; capabilities are negotiated once per run of QEMU.
        os.write(self._port, b"\xff")
        try:
            self.execute("qmp_capabilities")
        except MonitorError as error:
            if "negotiation" not in str(error):
                raise

    def close(self):
        """Leaves the monitor to others."""
        os.close(self._port)

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def execute(self, command, timeout=10, **arguments):
        """Runs a command of QMP and returns what it returns."""
        self._number += 1
        request = {"execute": command, "arguments": arguments, "id": self._number}
        os.write(self._port, json.dumps(request).encode() + b"\n")
        answer = self._wait(timeout, lambda said: said.get("id") == self._number, f"an answer to {command}")
        if "error" in answer:
            raise MonitorError(f"{command}: {answer['error']['desc']}")
        return answer["return"]

    def unplug(self, name, timeout=20):
        """Pulls the controller out, and returns when it is out of the machine.

        As when somebody pulls it, its registers are out of reach first. QEMU 10.0 needs that: a command that is on its
        way into the controller or out of it when it goes ends QEMU, or is lost with a reference to the controller, of
        which it never says DEVICE_DELETED then.
        """
        with out_of_reach(name):
            self.ask_for(name)
            self.wait_until_gone(name, timeout)

    def ask_for(self, name):
        """Asks the guest to give up the controller; it takes its time."""
        self.execute("device_del", id=name)

    def wait_until_gone(self, name, timeout=20):
        """Waits until QEMU has removed a controller that was asked for."""
        deadline = time.monotonic() + timeout
        while name in self._plugged():
            if time.monotonic() > deadline:
                raise MonitorError(f"waited {timeout} s for the guest to let go of {name}")
            time.sleep(0.02)

    def _plugged(self):
        """The names of what can be unplugged."""
        return {one["name"] for one in self.execute("qom-list", path="/machine/peripheral")}

    def plug(self, name):
        """Plugs in an unplugged controller of the description, with the same namespaces and their data."""
        self.execute("device_add", **described(name).device)

    def _wait(self, timeout, wanted, what):
        deadline = time.monotonic() + timeout
        while True:
            while b"\n" in self._received:
                line, self._received = self._received.split(b"\n", 1)
                said = json.loads(line)
                if wanted(said):
                    return said
            left = deadline - time.monotonic()
            if left <= 0 or not select.select([self._port], [], [], left)[0]:
                raise MonitorError(f"waited {timeout} s for {what}")
            self._received += os.read(self._port, 1 << 16)


def described(name):
    (one,) = (one for one in controllers.read() if one.name == name)
    return one


@contextlib.contextmanager
def out_of_reach(name):
    """Memory Space Enable of the controller's root port is cleared, and what is under way has time to end."""
    device = DEVICES / described(name).address
    if not device.exists():
        yield
        return
    with open(device.resolve().parent / "config", "r+b", buffering=0) as port:

        def command(value=None):
            port.seek(COMMAND)
            return port.read(2) if value is None else port.write(value)

        before = command()
        command(bytes([before[0] & ~MEMORY_SPACE, before[1]]))
        try:
            time.sleep(UNDER_WAY)
            yield
        finally:
            command(before)


def main():
    command, *arguments = sys.argv[1:]
    with Monitor() as monitor:
        if command in ("unplug", "plug"):
            getattr(monitor, command)(*arguments)
        else:
            json.dump(
                monitor.execute(command, **json.loads("".join(arguments) or "{}")), sys.stdout, indent=2
            )


if __name__ == "__main__":
    main()
