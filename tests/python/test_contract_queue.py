"""The contract's sections 2.5 to 2.7: queue pairs, namespaces, and I/O commands on the wire."""

import warnings

import nvme as d
import pytest

LBA = 0x1_0000_0002
# What a script calls, and opcode, namespace and dwords 10 to 15 of what goes out.
IO = {
    "read": (lambda n, q, b: n.read(q, b, 5, 3, 1 << 14, 13, 14, 15), 2, 1, [5, 0, 1 << 30 | 2, 13, 14, 15]),
    "read far away": (lambda n, q, b: n.read(q, b, LBA), 2, 1, [2, 1]),
    "read drops high flags": (lambda n, q, b: n.read(q, b, 0, 1, 1 << 31), 2, 1, [0, 0, 0]),
    "write": (
        lambda n, q, b: n.write(q, b, 5, 3, 1 << 15, 13, 14, 15),
        1,
        1,
        [5, 0, 1 << 31 | 2, 13, 14, 15],
    ),
    "compare": (lambda n, q, b: n.compare(q, b, 5, 8), 5, 1, [5, 0, 7]),
    "verify": (lambda n, q, b: n.verify(q, 5, 3, 1 << 15), 0x0C, 1, [5, 0, 1 << 31 | 2]),
    "write_zeroes": (lambda n, q, b: n.write_zeroes(q, 5, 65536), 8, 1, [5, 0, 65535]),
    "write_uncorrectable": (lambda n, q, b: n.write_uncorrectable(q, LBA, 3), 4, 1, [2, 1, 2]),
    "flush": (lambda n, q, b: n.flush(q), 0, 1, []),
    "dsm": (lambda n, q, b: n.dsm(q, b, 3, 7), 9, 1, [2, 7]),
    "dsm deallocates": (lambda n, q, b: n.dsm(q, b, 1), 9, 1, [0, 4]),
    "zns_mgmt_receive": (lambda n, q, b: n.zns_mgmt_receive(q, b), 0x7A, 1, [0, 0, 1023, 1 << 16 | 1]),
    "zns_mgmt_receive of some": (
        lambda n, q, b: n.zns_mgmt_receive(q, b, LBA, 4, False, 2, False),
        0x7A,
        1,
        [2, 1, 3, 2 << 8],
    ),
    "zns_mgmt_send": (lambda n, q, b: n.zns_mgmt_send(q, b, LBA, 4, True), 0x79, 1, [2, 1, 0, 1 << 8 | 4]),
    "send_cmd": (lambda n, q, b: n.send_cmd(0xFE, q, b, 7, 1, 2, 3, 4, 5, 6), 0xFE, 7, [1, 2, 3, 4, 5, 6]),
    "send_cmd has namespace 1": (lambda n, q, b: n.send_cmd(0, q), 0, 1, []),
}


@pytest.mark.parametrize("name", IO)
def test_io_commands_on_the_wire(nvme0n1, qpair, name):
    call, opcode, nsid, dwords = IO[name]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        assert call(nvme0n1, qpair, d.Buffer(4096)) is qpair
        qpair.waitdone()
    sqe = qpair.cmdlog_entries(1)[0]["sqe"]
    assert (sqe[0] & 0xFF, sqe[1]) == (opcode, nsid)
    assert sqe[10:16] == dwords + [0] * (6 - len(dwords))


def test_fuse_bits(nvme0n1, qpair, buf):
    """Halves for different blocks: the target answers both, whatever it says."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nvme0n1.send_cmd(5 | 1 << 8, qpair, buf)
        nvme0n1.send_cmd(1 | 2 << 8, qpair, buf, cdw10=8)
        qpair.waitdone(2)
    assert [entry["sqe"][0] >> 8 & 3 for entry in qpair.cmdlog_entries(2)] == [2, 1]


def test_compare_and_write(nvme0n1, qpair):
    """Both halves go out although they are for the same block."""
    before, after, back = d.Buffer(512), d.Buffer(512, pvalue=0x5A5A5A5A, ptype=32), d.Buffer(512)
    nvme0n1.read(qpair, before, 0).waitdone()
    nvme0n1.send_cmd(5 | 1 << 8, qpair, before)
    nvme0n1.send_cmd(1 | 2 << 8, qpair, after)
    qpair.waitdone(2)
    nvme0n1.read(qpair, back, 0).waitdone()
    assert back[:] == after[:]


@pytest.mark.parametrize(
    "wrong, error, match",
    [
        (lambda n, q, b: n.read(q, None, 0), AssertionError, "no buffer allocated"),
        (lambda n, q, b: n.write(q, None, 0), AssertionError, "no buffer allocated"),
        (lambda n, q, b: n.compare(q, None, 0), AssertionError, "no buffer allocated"),
        (lambda n, q, b: n.dsm(q, None, 1), AssertionError, "no range prepared"),
        (lambda n, q, b: n.dsm(q, d.Buffer(4097), 1), AssertionError, None),
        (lambda n, q, b: n.zns_mgmt_receive(q, b, dwords=0), AssertionError, "cannot read empty data"),
        (lambda n, q, b: n.read(q, b, 0, 65537), AssertionError, "exceed lba count limit"),
        (lambda n, q, b: n.read(q, b, 0, 0), AssertionError, None),
        (lambda n, q, b: n.read(q, b, 0, 9), AssertionError, None),
        (lambda n, q, b: n.compare(q, b, 0, 1, 1 << 16), OverflowError, None),
        (lambda n, q, b: n.write_zeroes(q, 0, 1, 1 << 16), OverflowError, None),
        (lambda n, q, b: n.verify(q, 0, 1, 1 << 16), OverflowError, None),
        (lambda n, q, b: n.read(q, b, -1), OverflowError, None),
        (lambda n, q, b: n.supports(256), AssertionError, None),
        (lambda n, q, b: n.cmdname(256), AssertionError, None),
    ],
)
def test_what_is_refused(nvme0n1, qpair, wrong, error, match):
    sent = len(qpair.cmdlog_entries())
    with pytest.raises(error, match=match):
        wrong(nvme0n1, qpair, d.Buffer(4096))
    assert len(qpair.cmdlog_entries()) == sent


def test_a_buffer_smaller_than_the_blocks_is_refused_and_its_size_counts(nvme0n1, qpair):
    buf = d.Buffer(4096)
    buf.size = 512
    nvme0n1.read(qpair, buf, 0, 1).waitdone()
    for use in (nvme0n1.read, nvme0n1.write):
        with pytest.raises(AssertionError):
            use(qpair, buf, 0, 2)


IO_NAMES = {
    0x00: "Flush",
    0x01: "Write",
    0x02: "Read",
    0x04: "Write Uncorrectable",
    0x05: "Compare",
    0x08: "Write Zeroes",
    0x09: "Dataset Management",
    0x0D: "Reservation Register",
    0x0E: "Reservation Report",
    0x11: "Reservation Acquire",
    0x15: "Reservation Release",
    0x79: "Zone Management Send",
    0x7A: "Zone Management Receive",
    0x7D: "Zone Management Append",
    0x7F: "Fabrics Connect",
}


def test_names_of_io_commands():
    for opcode in range(256):
        expected = IO_NAMES.get(opcode, "Vendor specific" if opcode >= 0x80 else "Unknown command")
        assert d.Namespace.cmdname(opcode) == expected, hex(opcode)


def test_identifiers_are_the_lowest_that_are_free(nvme0):
    first, second, third = (d.Qpair(nvme0, 8) for _ in range(3))
    assert [queue.sqid for queue in (first, second, third)] == [1, 2, 3]
    second.delete()
    again = d.Qpair(nvme0, 8)
    assert (second.sqid, again.sqid, repr(again)) == (0, 2, "<qpair: 2>")
    for queue in (first, third, again):
        queue.delete()


@pytest.mark.parametrize("depth", [2, 3, 16, 1024])
def test_one_less_than_the_depth(nvme0, nvme0n1, buf, depth):
    queue = d.Qpair(nvme0, depth)
    done = []
    for lba in range(depth - 1):
        nvme0n1.read(queue, buf, lba, cb=done.append)
    with pytest.raises(AssertionError, match=r"^error in submitting read write commands: -22"):
        nvme0n1.read(queue, buf, 0)
    with pytest.raises(AssertionError, match=r"^error in submitting io commands, -"):
        nvme0n1.flush(queue)
    queue.waitdone(depth - 1)
    assert len(done) == depth - 1
    nvme0n1.read(queue, buf, 0).waitdone()
    queue.delete()


@pytest.mark.parametrize("prio", [1, 3, 4, 255])
def test_priorities_need_their_arbitration(nvme0, prio):
    with pytest.raises(d.QpairCreationError, match=r"^qpair create fail"):
        d.Qpair(nvme0, 8, prio=prio)


def test_outstanding_commands_are_dropped_silently(nvme0, nvme0n1, buf):
    queue, done = d.Qpair(nvme0, 16), []
    for lba in range(10):
        nvme0n1.read(queue, buf, lba, cb=done.append)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        queue.delete()
    assert done == []
    for use in (queue.waitdone, lambda: queue.latest_cid, lambda: nvme0n1.flush(queue)):
        with pytest.raises(AssertionError):
            use()


def test_a_reset_takes_the_queues_along(pciaddr, buf):
    pcie = d.Pcie(pciaddr)
    nvme0 = d.Controller(pcie)
    nvme0n1, queue = d.Namespace(nvme0), d.Qpair(nvme0, 8)
    nvme0.reset()
    with pytest.raises(AssertionError):
        nvme0n1.read(queue, buf, 0)
    queue.delete()
    again = d.Qpair(nvme0, 8)
    assert again.sqid == 1
    nvme0n1.read(again, buf, 0).waitdone()
    pcie.close()


def test_interrupts_belong_to_pcie(qpair):
    for use in (qpair.msix_isset, qpair.msix_clear, qpair.msix_mask, qpair.msix_unmask):
        with pytest.raises(NotImplementedError, match="PCIe"):
            use()


def test_latest_command_and_latency(nvme0n1, qpair, buf):
    nvme0n1.read(qpair, buf, 0)
    cid = qpair.latest_cid
    assert qpair.cmdlog_entries(1)[0]["sqe"][0] >> 16 == cid
    qpair.waitdone()
    assert 0 < qpair.latest_latency < 10_000_000


def test_a_transfer_larger_than_mdts(nvme0, nvme0n1, qpair):
    blocks = nvme0.mdts // 512 + 1
    with pytest.warns(UserWarning, match=r"^ERROR status: 00/02$"):
        try:
            nvme0n1.read(qpair, d.Buffer(blocks * 512), 0, blocks)
        except AssertionError:
            pass
        else:
            qpair.waitdone()
    nvme0n1.read(qpair, d.Buffer(512), 0).waitdone()


def test_namespaces(nvme0):
    first, second = d.Namespace(nvme0), d.Namespace(nvme0, 1)
    assert first.nsid == 1 and first.capacity == first.id_data(63, 48)
    assert first.get_lba_format(1 << first.id_data(130)) == 0
    assert first.get_lba_format(1234) is None and first.get_lba_format(512, 99999) is None
    assert first.verify_enable() and second.verify_enable(False)
    first.close()
    first.close()
    assert not first.verify_enable()
    second.close()
    for nsid in (0, 99, 0xFFFFFFFF):
        with pytest.raises(d.NamespaceCreationError):
            d.Namespace(nvme0, nsid)


def test_a_namespace_that_does_not_have_a_format(nvme0, nvme0n1):
    before = nvme0.timeout
    with pytest.raises((AssertionError, TypeError)):
        nvme0n1.format(1234)
    assert nvme0.timeout == before


def test_verification_of_a_part(nvme0, qpair):
    """Blocks behind nlba_verify can hold anything."""
    nvme0n1 = d.Namespace(nvme0, 1, 10)
    nvme0n1.verify_enable()
    mine, foreign = d.Buffer(512), d.Buffer(512, pvalue=0x12345678, ptype=32)
    for lba in (9, 10):
        nvme0n1.write(qpair, mine, lba).waitdone()
    other = d.Qpair(nvme0, 8)
    with pytest.warns(UserWarning, match="07/81"):
        nvme0n1.send_cmd(1, other, foreign, 1, 9).waitdone()
        nvme0n1.read(qpair, mine, 9).waitdone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nvme0n1.send_cmd(1, other, foreign, 1, 10).waitdone()
        nvme0n1.read(qpair, mine, 10).waitdone()
    nvme0n1.verify_enable(False)
    other.delete()
    nvme0n1.close()
