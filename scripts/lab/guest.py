"""A guest: QEMU's process, from its start to its certain end.

Whatever a run needs on disk are files without a name, and QEMU dies with the process that started it; so nothing is
left behind, however a run ends.
"""

import contextlib
import os
import pathlib
import selectors
import shlex
import signal
import socket
import subprocess
import tempfile
import time

import controllers
import initramfs

LAB = pathlib.Path(__file__).resolve().parent
PROJECT = LAB.parents[1]
KEPT = PROJECT / "target" / "lab"

MEMORY_MIB = 1024
HUGEPAGES = 128

# What the guest's command finds in its environment.
ENVIRONMENT = ("PATH", "HOME", "USER", "LANG", "LC_ALL")

# No random offsets and no mitigations: this kernel protects nothing, and boots faster.
KERNEL_OPTIONS = (
    "console=ttyS0 rdinit=/init panic=-1 quiet loglevel=4 nokaslr mitigations=off tsc=reliable no_timer_check "
    f"hugepages={HUGEPAGES}"
)


class LabError(Exception):
    """What happened, and what to do about it."""

    def __init__(self, message, remedy):
        super().__init__(message)
        self.remedy = remedy


class Guest:
    """Runs one command in a fresh guest. Use it as a context manager: the end of the block is the end of QEMU."""

    def __init__(self, command, folder, vfio=False, qemu_arguments=()):
        self._command = command
        self._folder = folder
        self._vfio = vfio
        self._qemu_arguments = list(qemu_arguments)
        self._files = []  # open for QEMU, which gets them by their number
        self._process = None

    def __enter__(self):
        self._console = self._file()
        self._output, output = socket.socketpair()
        self._status, status = socket.socketpair()
        # QEMU's monitor talks to a port of the guest: both ends are in QEMU.
        monitor, port = socket.socketpair()
        channels = {"output": output, "status": status, "monitor": monitor, "qmp": port}
        arguments = self._arguments({name: self._keep(end).fileno() for name, end in channels.items()})
        try:
            self._process = subprocess.Popen(
                ["setpriv", "--pdeathsig", "KILL", str(LAB / "qemu"), *arguments],
                stdin=subprocess.DEVNULL,
                stdout=self._console,
                stderr=self._console,
                pass_fds=[file.fileno() for file in self._files],
                start_new_session=True,  # Ctrl-C at the terminal is for us alone
            )
        finally:
            for file in self._files:
                file.close()
        return self

    def __exit__(self, *_):
        self._process.kill()
        self._process.wait()
        for file in (self._console, self._output, self._status):
            file.close()

    def run(self, write, deadline):
        """Passes on what the command writes until it ends, and returns its exit status; deadline() may change."""
        status = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            selector.register(self._status, selectors.EVENT_READ)
            while not status.endswith(b"\n"):
                ready = {key.fileobj for key, _ in selector.select(max(0.0, deadline() - time.monotonic()))}
                if not ready:
                    raise TimeoutError
                if self._status in ready:
                    received = self._status.recv(64)
                    if not received:
                        self._drain(write)
                        raise self._died()
                    status += received
                if self._output in ready:
                    data = self._output.recv(1 << 16)
                    if data:
                        write(data)
                    else:
                        selector.unregister(self._output)
        self._drain(write)
        return int(status)

    def _drain(self, write):
        """The status may overtake the last of the output, which is here by then."""
        self._output.setblocking(False)
        try:
            while data := self._output.recv(1 << 16):
                write(data)
        except OSError:
            return

    def _died(self):
        with contextlib.suppress(subprocess.TimeoutExpired):
            self._process.wait(5)
        self._console.seek(0)
        last = self._console.read().decode(errors="replace").strip().splitlines()[-15:]
        ended = self._process.returncode
        how = f"QEMU died of signal {-ended}" if ended is not None and ended < 0 else "the guest ended"
        return LabError(
            f"{how} before the command did. Its console's last lines:\n  " + "\n  ".join(last or ["(empty)"]),
            "if QEMU's message names no cause, run the command once more; 'rm -rf target/lab' fetches all anew.",
        )

    def _keep(self, file):
        self._files.append(file)
        return file

    def _file(self, size=0):
        file = tempfile.TemporaryFile(dir=KEPT)  # noqa: SIM115 - __exit__ closes it
        file.truncate(size)
        return file

    def _image(self, size):
        """Opens an empty image, of which only what is written takes space, and returns the name QEMU finds it by."""
        return f"/dev/fd/{self._keep(self._file(size)).fileno()}"

    def _initramfs(self):
        settings = {
            "PROJECT": PROJECT,
            "FOLDER": self._folder,
            "DRIVER": "vfio-pci" if self._vfio else "uio_pci_generic",
        }
        exports = {name: os.environ[name] for name in ENVIRONMENT if name in os.environ}
        programs = {
            "init": (LAB / "guest" / "init").read_bytes(),
            "lab/session": (LAB / "guest" / "session").read_bytes(),
            "lab/settings": _assignments(settings) + _assignments(exports, "export "),
            "lab/command": self._command.encode() + b"\n",
        }
        archive = self._keep(self._file())
        initramfs.write(archive, KEPT / "kernel" / "files", programs)
        archive.flush()
        return f"/dev/fd/{archive.fileno()}"

    def _arguments(self, channels):
        machine, iommu, kernel_options = "q35", [], KERNEL_OPTIONS
        if self._vfio:
            machine += ",kernel-irqchip=off"
            iommu = ["-device", "intel-iommu,intremap=on,caching-mode=on,aw-bits=48"]
            kernel_options += " intel_iommu=on"
        arguments = ["-no-user-config", "-nodefaults", "-display", "none", "-no-reboot"]
        arguments += [
            "-machine",
            machine,
            "-accel",
            # With a thread for each processor QEMU 10.0 itself ends (iotlb_to_section) where memory is remapped under
            # load, as resets do.
            "tcg,thread=single,tb-size=256",
            "-cpu",
            "max,la57=off",
        ]
        arguments += ["-smp", "2", "-m", str(MEMORY_MIB), *iommu]
        # The root file system would not survive a suspend: 9p's channel is not set up again on resume.
        arguments += ["-global", "ICH9-LPC.disable_s3=1"]
        arguments += ["-kernel", str(KEPT / "kernel" / "vmlinux"), "-initrd", self._initramfs()]
        arguments += ["-append", kernel_options, "-chardev", "file,id=console,path=/dev/stdout"]
        arguments += ["-serial", "chardev:console", "-device", "virtio-serial-pci"]
        for name, number in channels.items():
            arguments += ["-chardev", f"socket,id={name},fd={number}"]
            if name == "monitor":
                arguments += ["-mon", "chardev=monitor,mode=control"]
            else:
                arguments += ["-device", f"virtserialport,chardev={name},name={name}"]
        for tag, path, options in (("root", "/", ",readonly=on"), ("project", PROJECT, "")):
            share = f"local,id={tag},path={str(path).replace(',', ',,')},security_model=none,multidevs=remap{options}"
            arguments += ["-fsdev", share, "-device", f"virtio-9p-pci,fsdev={tag},mount_tag={tag}"]
        return arguments + controllers.qemu_arguments(controllers.read(), self._image) + self._qemu_arguments


def _assignments(variables, prefix=""):
    lines = (f"{prefix}{name}={shlex.quote(str(value))}\n" for name, value in variables.items())
    return "".join(lines).encode()


def exit_on_signal(number, _):
    """Ends the block that runs the guest when somebody ends us."""
    signal.signal(number, signal.SIG_IGN)
    raise SystemExit(128 + number)
