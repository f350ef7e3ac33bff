"""Hello world: write in one command, read it back from that command's callback, compare.

pytest scripts/hello_world.py                       # on the embedded target
pytest scripts/hello_world.py --pciaddr=01:00.0     # on an SSD
"""

import nvme as d


def hello_world(nvme0n1, qpair):
    """Write, and read in the callback of the write; returns what was read."""
    write_buf = d.Buffer(512)
    read_buf = d.Buffer(512)
    write_buf[10:21] = b"hello world"

    def write_done(cdw0, status):
        # Inside a callback commands can be sent, but not waited for.
        nvme0n1.read(qpair, read_buf, 0, 1)

    nvme0n1.write(qpair, write_buf, 0, 1, cb=write_done)
    qpair.waitdone(2)
    return read_buf[10:21]


def test_hello_world(nvme0n1, qpair):
    assert hello_world(nvme0n1, qpair) == b"hello world"
