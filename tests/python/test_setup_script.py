"""scripts/setup on an imitation of a machine: folders for /sys, /proc and /dev, and a kernel that binds drivers."""

import errno
import importlib.machinery
import importlib.util
import os
import pathlib
import sys

import pytest

SCRIPT = pathlib.Path(__file__).parents[2] / "scripts/setup"
ONE, OTHER, SOUND = "0000:01:00.0", "0000:02:00.0", "0000:00:1f.3"
NQN = "nqn.2016-06.io.spdk:cnode1"


def loaded():
    loader = importlib.machinery.SourceFileLoader("setup_script", str(SCRIPT))
    module = importlib.util.module_from_spec(importlib.util.spec_from_loader("setup_script", loader))
    loader.exec_module(module)
    return module


class Machine:
    """What the script sees, and the kernel's side of what it writes."""

    def __init__(self, root, monkeypatch):
        self.root, self.script, self.events, self.claimed = root, loaded(), [], set()
        sys_folder = root / "sys"
        for name, value in {
            "SYS": sys_folder,
            "PROC": root / "proc",
            "DEV": root / "dev",
            "BUS": sys_folder / "bus/pci",
            "HUGEPAGES": root / "nr_hugepages",
            "SAVED": root / "saved.json",
            "order": self.order,
            "load": lambda driver: None,
            "claim": self.claim,
        }.items():
            monkeypatch.setattr(self.script, name, value)
        monkeypatch.setattr(os, "geteuid", lambda: 0)
        self.monkeypatch = monkeypatch
        self.file("nr_hugepages", "0")
        self.file("free_hugepages", "0")
        self.file("proc/self/mountinfo", "22 1 0:21 / /proc rw - proc proc rw\n")
        self.file("proc/swaps", "Filename Type Size Used Priority\n")
        (sys_folder / "bus/pci/devices").mkdir(parents=True)

    def file(self, path, text=""):
        path = self.root / path
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        return path

    def function(self, address, driver="nvme", kind="0x010802"):
        folder = self.root / "sys/devices" / address
        self.file(folder / "class", f"{kind}\n")
        (self.root / "sys/bus/pci/devices" / address).symlink_to(folder)
        if driver:
            self.give(address, driver)

    def folder(self, address):
        return self.root / "sys/bus/pci/devices" / address

    def give(self, address, driver):
        target = self.root / "sys/bus/pci/drivers" / driver
        target.mkdir(parents=True, exist_ok=True)
        (self.folder(address) / "driver").symlink_to(target)

    def driver_of(self, address):
        link = self.folder(address) / "driver"
        return link.resolve().name if link.exists() else None

    def disk(self, address, name, number):
        self.block(f"devices/{address}/nvme/{name[:5]}/{name}", name, number)

    def block(self, path, name, number):
        """A block device, its node, and the links by which the kernel lists it."""
        folder = self.root / "sys" / path
        (folder / "holders").mkdir(parents=True)
        self.file(folder / "dev", f"{number}\n")
        self.file(folder / "hidden", "0\n")
        for place in ("sys/block", "sys/class/block"):
            (self.root / place).mkdir(parents=True, exist_ok=True)
            (self.root / place / name).symlink_to(folder)
        self.file(f"dev/{name}")

    def holder(self, below, name, number):
        self.block(f"devices/virtual/block/{name}", name, number)
        (self.root / "sys/class/block" / below / "holders" / name).symlink_to(
            self.root / "sys/class/block" / name
        )

    def mount(self, number, source, place):
        table = self.root / "proc/self/mountinfo"
        table.write_text(f"{table.read_text()}40 1 {number} / {place} rw shared:1 - ext4 {source} rw\n")

    def process(self, pid, *files):
        folder = self.root / f"proc/{pid}/fd"
        folder.mkdir(parents=True)
        for number, file in enumerate(files):
            (folder / str(number)).symlink_to(file)

    def group(self, number, kind, *addresses):
        self.file(f"sys/kernel/iommu_groups/{number}/type", f"{kind}\n")
        for address in addresses:
            self.file(f"sys/kernel/iommu_groups/{number}/devices/{address}")
            (self.folder(address) / "iommu_group").symlink_to(self.root / f"sys/kernel/iommu_groups/{number}")

    def claim(self, disk):
        if disk in self.claimed:
            raise OSError(errno.EBUSY, os.strerror(errno.EBUSY))
        return os.open(self.root / "dev" / disk, os.O_RDONLY)

    def order(self, path, text):
        """The kernel does what it is told."""
        if path.name == "unbind":
            self.events.append(f"unbind {text} {self.driver_of(text)}")
            (self.folder(text) / "driver").unlink()
        elif path.name == "drivers_probe":
            override = self.folder(text) / "driver_override"
            wanted = override.read_text().strip() if override.exists() else ""
            self.events.append(f"bind {text} {wanted or 'nvme'}")
            self.give(text, wanted or "nvme")
        else:
            path.write_text(text)

    def run(self, *arguments):
        """The exit status: 0, 2 for wrong arguments, or the error."""
        self.monkeypatch.setattr(sys, "argv", ["setup", *arguments])
        try:
            self.script.main()
        except SystemExit as end:
            return end.code
        return 0

    def pages(self):
        return int((self.root / "nr_hugepages").read_text())


@pytest.fixture
def machine(tmp_path, monkeypatch):
    machine = Machine(tmp_path, monkeypatch)
    machine.function(ONE)
    machine.disk(ONE, "nvme0n1", "259:0")
    return machine


@pytest.fixture
def two(machine):
    machine.function(OTHER)
    machine.disk(OTHER, "nvme1n1", "259:5")
    return machine


def test_bind_and_undo(two):
    assert two.run() == 0
    assert [two.driver_of(ONE), two.driver_of(OTHER)] == ["uio_pci_generic"] * 2
    assert two.pages() == 512
    assert two.run("undo") == 0
    assert [two.driver_of(ONE), two.driver_of(OTHER)] == ["nvme"] * 2
    assert two.pages() == 0 and not (two.root / "saved.json").exists()


def test_what_is_in_use_is_taken_only_by_its_address(two, capsys):
    two.mount("259:0", "/dev/root", "/")
    two.claimed.add("nvme0n1")
    for arguments in (["bind", "--even-in-use"], ["bind", "--even-in-use", "--hugepages", "1"]):
        assert two.run(*arguments) == 2
        assert "--even-in-use needs the addresses" in capsys.readouterr().err
    assert two.events == [] and two.pages() == 0
    assert two.run("bind", ONE, "--even-in-use") == 0
    assert two.driver_of(ONE) == "uio_pci_generic" and two.driver_of(OTHER) == "nvme"


def test_a_refusal_says_who_uses_it_and_what_ends_that(machine, capsys):
    machine.block(f"devices/{ONE}/nvme/nvme0/nvme0n1/nvme0n1p1", "nvme0n1p1", "259:1")
    machine.file("sys/class/block/nvme0n1p1/partition", "1\n")
    machine.holder("nvme0n1p1", "dm-0", "253:0")
    machine.holder("dm-0", "dm-1", "253:1")
    machine.file("sys/class/block/dm-1/dm/name", "vg0-home\n")
    machine.mount("253:1", "/dev/mapper/vg0-home", r"/my\040data")
    machine.mount("0:41", "/dev/nvme0n1", "/srv")
    machine.file("proc/swaps", "Filename Type\n/dev/nvme0n1p1 partition 1 0 -2\n")
    machine.claimed.add("nvme0n1")
    assert "--even-in-use" in machine.run("bind", ONE)
    text = capsys.readouterr().err
    assert (
        f"{ONE}: refused, dm-1 is mounted at /my data; dm-0 is part of dm-1; nvme0n1p1 is part of dm-0; "
        in text
    )
    assert (
        "nvme0n1p1 is swap; nvme0n1 is mounted at /srv; as root: umount '/my data' && dmsetup remove vg0-home && "
        in text
    )
    assert "lsblk /dev/dm-0 && swapoff /dev/nvme0n1p1 && umount /srv\n" in text
    assert machine.driver_of(ONE) == "nvme"


def test_users_who_claim_nothing(machine, capsys):
    machine.block("devices/virtual/block/loop0", "loop0", "7:0")
    machine.file("sys/class/block/loop0/loop/backing_file", "/dev/nvme0n1\n")
    machine.mount("7:0", "/dev/loop0", "/image")
    namespace = f"sys/kernel/config/nvmet/subsystems/{NQN}/namespaces/1"
    machine.file(f"{namespace}/device_path", "/dev/nvme0n1\n")
    machine.file(f"{namespace}/enable", "1\n")
    machine.run("bind", ONE)
    text = capsys.readouterr().err
    assert "loop0 is mounted at /image; nvme0n1 is part of loop0; " in text
    assert f"exported by the kernel's target as {NQN}" in text
    assert f"umount /image && losetup -d /dev/loop0 && echo 0 > {machine.root}/{namespace}/enable" in text
    # Nobody has it by then.
    machine.file("sys/class/block/loop0/loop/backing_file", "/var/image\n")
    machine.file(f"{namespace}/enable", "0\n")
    assert machine.run("bind", ONE) == 0


@pytest.mark.parametrize("node", ["nvme0", "nvme0n1", "ng0n1", "ng0n7"])
def test_a_process_that_has_it_open(machine, capsys, node):
    (machine.folder(ONE) / "nvme/nvme0/ng0n7").mkdir(parents=True)
    machine.process(41, "/dev/null", f"/dev/{node}")
    machine.run("bind", ONE)
    assert f"refused, process 41 has /dev/{node} open; as root: kill 41\n" in capsys.readouterr().err


def test_what_cannot_be_told_is_not_in_use(machine, capsys):
    (machine.root / "dev/nvme0n1").unlink()
    machine.run("bind", ONE)
    assert "cannot be told" in (text := capsys.readouterr().err) and "outside the container" in text

    def forbidden(disk):
        raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))

    machine.monkeypatch.setattr(machine.script, "claim", forbidden)
    assert machine.run("status") == 0
    assert (
        "cannot be told whether nvme0n1 is in use (Permission denied): run this as root"
        in capsys.readouterr().out
    )


def test_what_comes_into_use_meanwhile_keeps_its_disk(machine, capsys):
    machine.monkeypatch.setattr(machine.script, "load", lambda driver: machine.claimed.add("nvme0n1"))
    assert "1 of the controllers could not be bound" in machine.run("bind", ONE)
    assert "nvme0n1 came into use" in capsys.readouterr().err
    assert machine.events == []
    assert machine.run("undo") == 0 and machine.events == []


def test_nobody_else_can_have_the_disk_while_it_is_unbound(machine):
    files = pathlib.Path("/proc/self/fd")

    def is_open():
        found = [os.readlink(file) for file in files.iterdir() if file.is_symlink()]
        return str(machine.root / "dev/nvme0n1") in found

    seen = []

    def order(path, text):
        if path.name == "unbind":
            seen.append(is_open())
        machine.order(path, text)

    machine.monkeypatch.setattr(machine.script, "order", order)
    assert machine.run("bind", ONE) == 0
    assert seen == [True] and not is_open()


@pytest.mark.parametrize("driver", ["uio_pci_generic", "vfio-pci"])
def test_undo_gives_back_to_a_userspace_driver(machine, driver):
    """One that it had before, as for a virtual machine: the kernel's own would mount what is on it."""
    other = {"uio_pci_generic": "vfio-pci", "vfio-pci": "uio_pci_generic"}[driver]
    machine.group(3, "identity", ONE)
    (machine.folder(ONE) / "driver").unlink()
    machine.give(ONE, driver)
    assert machine.run("bind", ONE, "--driver", other) == 0
    assert machine.driver_of(ONE) == other
    machine.events.clear()
    assert machine.run("undo") == 0
    assert machine.events == [f"unbind {ONE} {other}", f"bind {ONE} {driver}"]


def test_undo_goes_on_after_one_that_is_in_use(two, capsys):
    assert two.run() == 0
    (two.folder(ONE) / "uio/uio0").mkdir(parents=True)
    two.process(41, "/dev/uio0")
    assert "1 of the controllers could not be given back" in two.run("undo")
    assert f"{ONE}: process 41 has /dev/uio0 open; as root: kill 41" in capsys.readouterr().err
    assert two.driver_of(OTHER) == "nvme" and two.pages() == 0
    (two.root / "proc/41/fd/0").unlink()
    assert two.run("undo") == 0
    assert two.driver_of(ONE) == "nvme" and not (two.root / "saved.json").exists()


def test_undo_leaves_alone_what_has_its_driver_again(machine):
    assert machine.run("bind", ONE) == 0
    (machine.folder(ONE) / "driver").unlink()
    machine.give(ONE, "nvme")
    machine.mount("259:0", "/dev/nvme0n1", "/srv")
    machine.claimed.add("nvme0n1")
    machine.events.clear()
    assert machine.run("undo") == 0
    assert machine.events == [] and not (machine.root / "saved.json").exists()
    assert (machine.folder(ONE) / "driver_override").read_text() == "\n"


def test_hugepages_are_given_back_only_if_they_were_raised(machine):
    machine.file("nr_hugepages", "600")
    assert machine.run("bind", ONE) == 0
    machine.file("nr_hugepages", "700")
    assert machine.run("undo") == 0
    assert machine.pages() == 700


def test_a_wrong_address_changes_nothing(machine):
    assert "no NVMe controller at 0000:7f:00.0" in machine.run("bind", "7f:00.0")
    assert machine.pages() == 0 and not (machine.root / "saved.json").exists()


def test_vfio_takes_whole_groups(two, capsys):
    two.group(7, "DMA-FQ", ONE, OTHER)
    assert "could not be bound" in two.run("bind", ONE)
    assert f"as root: scripts/setup bind {ONE} {OTHER}\n" in capsys.readouterr().err
    assert two.events == []
    # Together they are what it wants.
    assert two.run("bind", ONE, OTHER) == 0
    assert [two.driver_of(ONE), two.driver_of(OTHER)] == ["vfio-pci"] * 2
    assert two.run("undo") == 0
    # One of them stays with the kernel.
    two.claimed.add("nvme1n1")
    third = "0000:03:00.0"
    two.function(third)
    assert "1 of the controllers could not be bound" in two.run()
    assert f"{OTHER} is in the same IOMMU group 7 and bound to nvme" in capsys.readouterr().err
    assert two.driver_of(ONE) == "nvme" and two.driver_of(third) == "uio_pci_generic"


def test_a_neighbour_that_is_no_controller(machine, capsys):
    machine.function(SOUND, "snd_hda_intel", "0x040300")
    machine.group(7, "identity", ONE, SOUND)
    machine.run("bind", ONE, "--driver", "vfio-pci")
    text = capsys.readouterr().err
    assert (
        f"echo {SOUND} > {machine.root}/sys/bus/pci/drivers/snd_hda_intel/unbind, or use --driver uio" in text
    )
    assert machine.run("bind", ONE) == 0
    assert machine.driver_of(ONE) == "uio_pci_generic"
