"""The controllers that controllers.ini describes, and what QEMU is told about them."""

import configparser
import dataclasses
import json
import pathlib
import re

DESCRIPTION = pathlib.Path(__file__).with_name("controllers.ini")

# Shadow doorbells would make the controller ignore the doorbell registers of queues that SPDK does not know.
# With ioeventfd QEMU 10.0 itself can crash when a controller is unplugged under load.
DEFAULTS = {"dbcs": False, "ioeventfd": False}


@dataclasses.dataclass(frozen=True)
class Namespace:
    """One namespace: its size in bytes and the options of QEMU's nvme-ns device."""

    nsid: int
    size: int
    options: dict


@dataclasses.dataclass(frozen=True)
class Controller:
    """One controller, at the only slot of the root port of its name."""

    name: str
    address: str
    options: dict
    namespaces: list

    @property
    def serial(self):
        """The serial number that Identify Controller returns."""
        return f"LAB-{self.name.upper()}"

    @property
    def device(self):
        """QEMU's device, as the monitor's device_add takes it as well.

        The namespaces belong to the subsystem, which stays: a controller plugged again finds them as they were.
        """
        place = {
            "driver": "nvme",
            "id": self.name,
            "bus": f"port-{self.name}",
            "subsys": f"subsystem-{self.name}",
        }
        return {**place, "serial": self.serial, **DEFAULTS, **self.options}


def value(text):
    """An option's value in the type QEMU wants: on and off, a number, a size in K, M or G, or text."""
    if text in ("on", "off"):
        return text == "on"
    if re.fullmatch(r"0x[0-9a-f]+", text):
        return int(text, 16)
    if number := re.fullmatch(r"(\d+)([KMG]?)", text):
        return int(number[1]) << {"": 0, "K": 10, "M": 20, "G": 30}[number[2]]
    return text


def namespace(nsid, text):
    options = {name: value(given) for name, given in (pair.split("=", 1) for pair in text.split())}
    # QEMU's own default, 512, is refused where the logical block is larger.
    options.setdefault("physical_block_size", options.get("logical_block_size", 512))
    return Namespace(nsid, options.pop("size"), options)


def read(path=DESCRIPTION):
    """The controllers of the description, in its order."""
    parser = configparser.ConfigParser(interpolation=None)
    parser.read_string(pathlib.Path(path).read_text(), str(path))
    controllers = []
    for bus, name in enumerate(parser.sections(), start=1):
        lines = dict(parser[name])
        namespaces = [
            namespace(int(key.split()[1]), lines.pop(key))
            for key in list(lines)
            if key.startswith("namespace ")
        ]
        options = {key: value(text) for key, text in lines.items()}
        controllers.append(Controller(name, f"0000:{bus:02x}:00.0", options, namespaces))
    return controllers


def qemu_arguments(controllers, image):
    """Root ports, subsystems, controllers and namespaces; image(size) is a path QEMU opens for a namespace's data."""
    arguments = []
    for number, controller in enumerate(controllers, start=1):
        name = controller.name
        port = {"driver": "pcie-root-port", "id": f"port-{name}", "chassis": number, "slot": number}
        subsystem = {"driver": "nvme-subsys", "id": f"subsystem-{name}", "nqn": name}
        devices = [port, subsystem, controller.device]
        for one in controller.namespaces:
            drive = f"{name}-{one.nsid}"
            file = {"driver": "file", "filename": image(one.size), "locking": "off", "discard": "unmap"}
            raw = {
                "driver": "raw",
                "node-name": drive,
                "cache": {"no-flush": True},
                "file": file,
                "discard": "unmap",
            }
            arguments += ["-blockdev", json.dumps(raw)]
            devices.append(
                {"driver": "nvme-ns", "bus": name, "nsid": one.nsid, "drive": drive, **one.options}
            )
        for device in devices:
            arguments += ["-device", json.dumps(device)]
    return arguments
