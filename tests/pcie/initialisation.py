"""An initialisation of a script's own (NVMe Base Specification, "Controller Initialization")."""

import time

import nvme as d

CC, CSTS = 0x14, 0x1C
# Entry sizes of 64 and 16 bytes.
CC_USUAL = 0x0046_0000


def wait_ready(nvme0, ready):
    deadline = time.monotonic() + 10
    while nvme0[CSTS] & 1 != ready:
        assert time.monotonic() < deadline, f"CSTS.RDY is not {ready} within 10 s"
        time.sleep(0.001)


def initialise(nvme0, cc=CC_USUAL, queues=4):
    """Enables the controller with this CC, and asks for so many I/O queues."""
    nvme0[CC] = 0
    wait_ready(nvme0, 0)
    assert nvme0.init_adminq() == 0
    nvme0[CC] = cc
    nvme0[CC] = cc | 1
    wait_ready(nvme0, 1)
    nvme0.identify(d.Buffer(4096)).waitdone()
    assert nvme0.init_ns() == 0
    nvme0.setfeatures(7, cdw11=(queues - 1) << 16 | (queues - 1)).waitdone()
    nvme0.init_queues(nvme0.getfeatures(7).waitdone())
