"""The lab is as its description says, seen by the kernel's own driver, and its controllers can be unplugged."""

import subprocess

from sysfs import DEVICES, bind, disks, driver_of, kernel_controller, kernel_disk, lab_driver, until

LBA_SIZE = 4096


def test_every_controller_is_bound_behind_a_root_port_of_its_own(described):
    ports = set()
    for one in described.values():
        device = DEVICES / one.address
        assert (device / "class").read_text().strip() == "0x010802"
        assert driver_of(one.address) == lab_driver()
        port = device.resolve().parent
        assert (port / "class").read_text().startswith("0x0604")
        ports.add(port)
    assert len(ports) == len(described)
    nvme = [
        device.name for device in DEVICES.iterdir() if (device / "class").read_text().startswith("0x0108")
    ]
    assert sorted(nvme) == sorted(one.address for one in described.values())


def test_the_kernel_sees_the_serial_numbers_and_namespaces(described, bound_to):
    subprocess.run(["modprobe", "nvme"], check=True)
    for one in described.values():
        bound_to(one.address, "nvme")
        controller = kernel_controller(one.address)
        assert (controller / "serial").read_text().strip() == one.serial

        wanted = {namespace.nsid: namespace for namespace in one.namespaces}
        seen = until(
            lambda c=controller, w=wanted: d if (d := disks(c)).keys() == w.keys() else None, "namespaces"
        )
        for nsid, disk in seen.items():
            options = wanted[nsid].options
            assert int((disk / "queue" / "logical_block_size").read_text()) == options["logical_block_size"]
            zoned = (disk / "queue" / "zoned").read_text().strip()
            assert zoned == ("host-managed" if options.get("zoned") else "none")
            # The kernel has no use for metadata that it does not generate itself, and says so with no capacity.
            if not options.get("ms"):
                assert int((disk / "size").read_text()) * 512 == wanted[nsid].size


def test_an_unplugged_controller_comes_back_with_its_data(described, monitor):
    one = described["plain"]
    subprocess.run(["modprobe", "nvme"], check=True)
    bind(one.address, "nvme")
    data = b"still there".ljust(LBA_SIZE, b"\0")
    with open(kernel_disk(one.address), "r+b") as block:
        block.write(data)

    monitor.unplug("plain")
    assert not (DEVICES / one.address).exists()
    monitor.plug("plain")
    until((DEVICES / one.address).exists, f"device at {one.address}")

    bind(one.address, "nvme")
    with open(kernel_disk(one.address), "rb") as block:
        assert block.read(LBA_SIZE) == data
    bind(one.address, lab_driver())
