"""The temperature while the device is under load, read from its SMART log several times a second.

make test TESTS=scripts/examples/test_smart_temperature.py pciaddr=01:00.0
"""

import logging
import time

import nvme as d

KELVIN = 273


def read_smart(nvme0):
    """The SMART / Health Information log page, field by field."""
    buf = d.Buffer(512)
    nvme0.getlogpage(2, buf, 512).waitdone()
    return d.decode(buf, "smart")


def test_temperature_under_load(nvme0, nvme0n1, seconds):
    warning = nvme0.id_data(267, 266)
    before = read_smart(nvme0)
    degrees = []
    with nvme0n1.ioworker(io_size=256, read_percentage=0, time=seconds, qdepth=16) as worker:
        while worker.running:
            smart = read_smart(nvme0)
            degrees.append(smart["CTEMP"] - KELVIN)
            time.sleep(0.2)
    after = read_smart(nvme0)
    if before["CTEMP"] == 0:
        logging.info("temperature: the device does not tell; read %d times", len(degrees))
    else:
        logging.info("temperature: %d to %d C, warning at %d C", min(degrees), max(degrees), warning - KELVIN)
    for name in ("DUR", "DUW", "HWC", "PWRC", "MDIE"):
        logging.info("%-5s %s to %s", name, before[name], after[name])
    # The host is told to slow down or power off above that (NVMe base specification, WCTEMP); 0 says nothing.
    assert warning == 0 or max(degrees) + KELVIN < warning
    assert after["MDIE"] == before["MDIE"], "data was lost"
