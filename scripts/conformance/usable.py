"""python -m usable ADDRESS: whether a user would find the device in order; the status is 0 then."""

import sys

import nvme


def main(address):
    pcie = nvme.Pcie(address)
    controller = nvme.Controller(pcie)
    namespace = nvme.Namespace(controller, 1, 8)
    qpair = nvme.Qpair(controller, 8)
    written, read = nvme.Buffer(512, ptype=32, pvalue=0x5A5A5A5A), nvme.Buffer(512)
    namespace.write(qpair, written, 0).waitdone()
    namespace.read(qpair, read, 0).waitdone()
    assert read[:] == written[:], "what was read is not what was written"
    with namespace.ioworker(io_size=1, region_end=8, io_count=8, time=10):
        pass
    qpair.delete()
    namespace.close()
    pcie.close()


if __name__ == "__main__":
    main(sys.argv[1])
