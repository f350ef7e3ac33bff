"""A script of a user who checks types: never run, only read by `mypy --strict` (see test_types.py)."""

from __future__ import annotations

import nvme as d
from nvme import Buffer, Controller, Namespace, Pcie, Qpair


def done(cpl: tuple[int, int, int, int]) -> None:
    """Take the whole completion."""
    print(cpl[0], cpl[3] >> 17)


def done_in_two(cdw0: int, status: int) -> None:
    """Take dword 0 and the status."""
    print(cdw0, status >> 1)


def buffers() -> int:
    """Indices are numbers, slices bytes; a float is truncated."""
    buf = Buffer(4096.0, "mine", pvalue=1, ptype=32)
    buf.size, buf.offset = 512, 8.0
    first: int = buf[0]
    some: bytes = buf[0:16]
    buf[0] = 255
    buf[8:] = [1, 2, 3]
    buf.set_dsm_range(0, 0, 8, attr=0)
    number: int = buf.data(3, 0)
    text: str = buf.data(63, 24, str)
    print(buf.dump(64), buf.data_head + some, text)
    return first + number + sum(buf) + len(buf) + buf.phys_addr


def admin(pcie: Pcie) -> int:
    """Admin commands return the controller."""
    nvme0 = Controller(pcie)
    buf = Buffer()
    nvme0.identify(buf, cns=1, cb=done).waitdone()
    nvme0.getfeatures(7, cb=done_in_two).setfeatures(5, cdw11=15).waitdone(2)
    nvme0.getlogpage(2, buf, 512, cb=lambda cpl: print(cpl)).waitdone()
    nvme0.timeout = 5000
    nvme0[0x14] = nvme0[0x14]
    model: str = nvme0.id_data(63, 24, str)
    vendor: int = nvme0.id_data(1, 0)
    for entry in nvme0.cmdlog_entries(10):
        print(entry["command"], entry["sqe"][0], (entry["latency_us"] or 0.0) / 2)
    print(model, nvme0.cmdname(6), nvme0.supports(2), nvme0.cap >> 32, nvme0.mdts)
    return vendor


def decoding(nvme0: Controller, buf: Buffer) -> str:
    """Fields have names, values and meanings."""
    for entry in nvme0.cmdlog_entries(1):
        command: d.Decoded = d.decode(entry["sqe"], qid=0)
        answer = d.decode(entry["cqe"] or [0] * 4, "completion", qid=0, command=entry["sqe"])
        print(command, repr(answer), answer["SC"] == 0, "SLBA" in command)
    smart = d.decode(buf, "smart")
    told = [f"{field.name} {field.value!r} {field.meaning or field.title}" for field in smart.fields]
    return smart.as_dict()["fields"][0]["name"] + "".join(told) + d.decode(1, "feature 6").parts[0].name


def blocks(nvme0: Controller) -> None:
    """I/O commands return the queue pair."""
    with d.Target(megabytes=16) as target:
        print(target.rpc("bdev_get_bdevs"), target.pid)
    qpair = Qpair(nvme0, 16, prio=0)
    nvme0n1 = Namespace(nvme0, 1)
    buf = Buffer(512)
    if nvme0n1.verify_enable():
        nvme0n1.write(qpair, buf, 0, cb=done).waitdone()
    nvme0n1.read(qpair, buf, 7.0, lba_count=1, io_flags=1 << 14, cb=done_in_two).waitdone()
    nvme0n1.send_cmd(5 | 1 << 8, qpair, buf, 1).waitdone()
    seconds: list[int] = []
    percentiles = {99: 0, 99.9: 0}
    with nvme0n1.ioworker(io_size=8, time=1, output_io_per_second=seconds) as worker:
        print(worker.running)
    sizes = nvme0n1.ioworker(io_size=[1, 8], io_count=10, op_percentage={2: 50, 1: 50})
    result = sizes.start().close()
    latency: int = result.latency_average_us
    busy: float = result.cpu_usage
    nvme0n1.ioworker(io_sequence=[(0, 2, 0, 8)], output_percentile_latency=percentiles).start().close()
    print(latency, busy, result["error"], seconds)
    qpair.delete()


def main() -> None:
    """Open and close a device."""
    d.srand(1)
    pcie = d.Tcp("127.0.0.1", 4420, timeout=1.5)
    try:
        blocks(Controller(pcie, nvme_init_func=True))
    except (d.QpairCreationError, d.NvmeEnumerateError) as error:
        print(error)
    finally:
        pcie.close()
