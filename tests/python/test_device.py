"""Devices, queues and commands, on whatever --pciaddr names."""

import warnings

import nvme as d
import pytest


def test_hello_world(nvme0n1, qpair):
    write_buf, read_buf = d.Buffer(512), d.Buffer(512)
    write_buf[10:21] = b"hello world"
    order = []

    def write_done(cdw0, status):
        order.append(("write", status >> 1))
        nvme0n1.read(qpair, read_buf, 11, 1, cb=lambda cpl: order.append(("read", cpl[3] >> 17)))

    nvme0n1.write(qpair, write_buf, 11, 1, cb=write_done)
    qpair.waitdone(2)
    assert order == [("write", 0), ("read", 0)]
    assert read_buf[10:21] == b"hello world"


def test_identity(nvme0, nvme0n1):
    assert nvme0.id_data(63, 24, str)
    assert nvme0n1.id_data(7, 0) == nvme0n1.id_data(15, 8) > 0
    assert nvme0.mdts >= 4096 and nvme0.mdts % 4096 == 0
    assert nvme0[8] >> 16 >= 1
    assert nvme0.cap & 0xFFFF > 0
    assert nvme0[0x1C] & 1 == 1
    with pytest.raises(AssertionError, match="only support 4-byte aligned NVMe register read"):
        nvme0[1]
    with pytest.raises(AssertionError, match="only support 4-byte aligned NVMe register write"):
        nvme0[1] = 0


def test_admin_commands(nvme0):
    assert nvme0.getfeatures(7).waitdone() & 0xFFFF > 0
    buf = d.Buffer(4096)
    nvme0.identify(buf, cns=1).waitdone()
    assert buf.data(63, 24, str) == nvme0.id_data(63, 24, str)
    nvme0.getlogpage(2, buf, 512).waitdone()
    with pytest.raises(AssertionError, match="size must be dword aligned"):
        nvme0.getlogpage(2, buf, 511)
    with pytest.warns(UserWarning, match="ERROR status: 00/01"):
        nvme0.send_cmd(0xFF).waitdone()
    assert nvme0.latest_latency > 0
    assert (nvme0.cmdname(6), d.Namespace.cmdname(2)) == ("Identify", "Read")


def test_callbacks_in_all_forms(nvme0n1, qpair, buf):
    seen = []
    nvme0n1.read(qpair, buf, 0, cb=lambda cpl: seen.append(len(cpl))).waitdone()
    nvme0n1.read(qpair, buf, 0, cb=lambda cdw0, status: seen.append(status >> 1)).waitdone()
    assert seen == [4, 0]
    with pytest.warns(UserWarning, match="callback: "):
        nvme0n1.read(qpair, buf, 0, cb=lambda a, b, c: None).waitdone()
    with pytest.warns(UserWarning, match="ASSERT: no"):

        def wrong(cpl):
            assert False, "no"

        nvme0n1.read(qpair, buf, 0, cb=wrong).waitdone()
    with pytest.raises(AssertionError):
        nvme0n1.read(qpair, buf, 0, cb=5)
    with pytest.warns(UserWarning, match="ASSERT: cannot re-entry waitdone"):
        nvme0n1.read(qpair, buf, 0, cb=lambda cpl: qpair.waitdone()).waitdone()


def test_errors_are_warnings(nvme0n1, qpair, buf):
    beyond = nvme0n1.id_data(7, 0)
    with pytest.warns(UserWarning, match="ERROR status: 00/80"):
        nvme0n1.read(qpair, buf, beyond).waitdone()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        nvme0n1.read(qpair, buf, 0).waitdone()


def test_a_buffer_too_small_is_an_assertion(nvme0n1, qpair):
    buf = d.Buffer(512)
    with pytest.raises(AssertionError, match="the buffer has 512"):
        nvme0n1.read(qpair, buf, 0, 2)
    with pytest.raises(AssertionError, match="no buffer allocated"):
        nvme0n1.read(qpair, None, 0)
    with pytest.raises(AssertionError, match="exceed lba count limit"):
        nvme0n1.read(qpair, buf, 0, 65537)
    with pytest.raises(AssertionError):
        nvme0n1.read(qpair, buf, 0, 0)
    buf.offset = 3000
    nvme0n1.read(qpair, buf, 0).waitdone()
    buf.offset = 8000
    with pytest.raises(AssertionError):
        nvme0n1.read(qpair, buf, 0)


def test_queue_overflow(nvme0, nvme0n1, buf):
    qpair = d.Qpair(nvme0, 4)
    for lba in range(3):
        nvme0n1.read(qpair, buf, lba)
    with pytest.raises(AssertionError, match="error in submitting read write commands: -22"):
        nvme0n1.read(qpair, buf, 3)
    qpair.waitdone(3)
    qpair.delete()


def test_queues_that_cannot_be(nvme0):
    for depth in (0, 1, 1025, -1):
        with pytest.raises(AssertionError, match=r"qdepth should be in \[2, 1024\]"):
            d.Qpair(nvme0, depth)
    with pytest.raises(d.QpairCreationError, match="qpair create fail"):
        d.Qpair(nvme0, 8, prio=1)
    with pytest.raises(TypeError):
        d.Qpair(None, 8)


def test_deleted_queues_and_closed_devices(pciaddr, buf):
    pcie = d.Pcie(pciaddr)
    nvme0 = d.Controller(pcie)
    nvme0n1 = d.Namespace(nvme0)
    first, second = d.Qpair(nvme0, 8), d.Qpair(nvme0, 8)
    assert (first.sqid, second.sqid, repr(second)) == (1, 2, "<qpair: 2>")
    nvme0n1.read(first, buf, 0)
    first.delete()
    first.delete()
    assert first.sqid == 0
    for use in (lambda: nvme0n1.read(first, buf, 0), first.waitdone, lambda: first.latest_cid):
        with pytest.raises(AssertionError):
            use()
    with pytest.raises(AssertionError, match=r"use Qpair.delete\(\)"):
        second.close()
    pcie.close()
    pcie.close()
    second.delete()
    nvme0n1.close()
    for use in (
        lambda: nvme0.getfeatures(7),
        lambda: nvme0[0x1C],
        lambda: nvme0n1.read(second, buf, 0),
        nvme0.waitdone,
    ):
        with pytest.raises(AssertionError):
            use()
    with pytest.raises(d.NvmeEnumerateError):
        d.Controller(pcie)


def test_namespaces_that_are_not_there(nvme0):
    for nsid in (0, 2000):
        with pytest.raises(d.NamespaceCreationError):
            d.Namespace(nvme0, nsid)


def test_what_belongs_to_pcie_says_so(pcie, nvme0):
    for use in (
        lambda: pcie[0],
        lambda: pcie.register(0),
        lambda: pcie.aspm,
        pcie.reset,
        pcie.flr,
        lambda: d.Subsystem(nvme0),
    ):
        with pytest.raises(NotImplementedError, match="PCIe"):
            use()


def test_the_log_goes_to_standard_error(nvme0, nvme0n1, buf, capfd):
    qpair = d.Qpair(nvme0, 8)
    nvme0n1.read(qpair, buf, 11).waitdone()
    qpair.cmdlog(1)
    nvme0.cmdlog(2)
    said = capfd.readouterr().err
    assert "READ sqid:1 cid:0 nsid:1 lba:11 len:1" in said
    assert "SUCCESS (00/00) sqid:" in said
    entry = qpair.cmdlog_entries(1)[0]
    assert entry["latency_us"] > 0 and entry["sqe"][10] == 11 and entry["cqe"][3] >> 17 == 0
    qpair.delete()


def test_floats_are_truncated_where_integers_are_meant(nvme0n1, qpair, buf):
    nvme0n1.read(qpair, buf, 8 / 2, 2.9).waitdone()
    with pytest.raises(OverflowError):
        nvme0n1.read(qpair, buf, -1)
    with pytest.raises(OverflowError):
        nvme0n1.read(qpair, buf, 1 << 64)


def test_the_embedded_target_is_as_tests_need_it(nvme0, request):
    if request.config.getoption("--pciaddr"):
        pytest.skip("another device")
    assert (nvme0.cap & 0xFFFF) + 1 == 1024
    assert nvme0.mdts == 128 * 1024
    queues = [d.Qpair(nvme0, 1024) for _ in range(17)]
    for queue in queues:
        queue.delete()


def test_the_address_leads_to_the_device_again(nvme0):
    again = d.Pcie(nvme0.addr)
    assert d.Controller(again).id_data(63, 24, str) == nvme0.id_data(63, 24, str)
    again.close()
