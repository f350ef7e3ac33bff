"""The contract's sections 2.2 to 2.5: devices, controllers, and what their commands look like on the wire."""

import warnings

import nvme as d
import pytest


def wire(queue, command):
    """Submit a command, wait for it whatever becomes of it, and return its 16 dwords."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        command().waitdone()
    return queue.cmdlog_entries(1)[0]["sqe"]


# What a script calls, and opcode, namespace and dwords 10 to 15 of what goes out.
ADMIN = {
    "abort": (lambda c, b: c.abort(5, 3), 0x08, 0, [5 << 16 | 3]),
    "identify": (
        lambda c, b: c.identify(b, 1, 2, 3, 4, 5),
        0x06,
        1,
        [3 << 16 | 2, 4 << 24 | 5],
    ),
    "getfeatures": (
        lambda c, b: c.getfeatures(7, 3, None, 11, 12, 13, 14, 15),
        0x0A,
        1,
        [3 << 8 | 7, 11, 12, 13, 14, 15],
    ),
    "setfeatures": (
        lambda c, b: c.setfeatures(0xC1, 1, None, 11, 12, 13, 14, 15),
        0x09,
        0xFFFFFFFF,
        [1 << 31 | 0xC1, 11, 12, 13, 14, 15],
    ),
    "getlogpage": (
        lambda c, b: c.getlogpage(2, b, 512, 8),
        0x02,
        0xFFFFFFFF,
        [127 << 16 | 2, 0, 8, 0],
    ),
    "getlogpage far away": (
        lambda c, b: c.getlogpage(2, b, 4096, (5 << 32) + 16, 1),
        0x02,
        1,
        [1023 << 16 | 2, 0, 16, 5],
    ),
    "getlogpage whole buffer": (lambda c, b: c.getlogpage(1, b), 0x02, 0xFFFFFFFF, [1023 << 16 | 1, 0]),
    "mi_send": (lambda c, b: c.mi_send(1, 2, 3), 0x1D, 0, [1 << 11 | 4, 1, 2, 3]),
    "mi_receive": (lambda c, b: c.mi_receive(1, 2, 3, b, 4), 0x1E, 0, [4 << 11 | 4, 1, 2, 3]),
    "sanitize": (lambda c, b: c.sanitize(), 0x84, 0, [2, 0]),
    "sanitize by pattern": (lambda c, b: c.sanitize(3, 0xA5), 0x84, 0, [3, 0xA5]),
    "dst": (lambda c, b: c.dst(), 0x14, 0xFFFFFFFF, [1]),
    "dst of one": (lambda c, b: c.dst(2, 1), 0x14, 1, [2]),
    "fw_download": (lambda c, b: c.fw_download(b, 8192), 0x11, 0, [1023, 2048]),
    "fw_download of some": (lambda c, b: c.fw_download(b, 0, 512), 0x11, 0, [127, 0]),
    "fw_commit": (lambda c, b: c.fw_commit(2, 3), 0x10, 0, [3 << 3 | 2]),
    "security_receive": (
        lambda c, b: c.security_receive(b, 0x1234),
        0x82,
        0,
        [1 << 24 | 0x1234 << 8, 4096],
    ),
    "security_send": (
        lambda c, b: c.security_send(b, 1, 2, 3, 100),
        0x81,
        0,
        [2 << 24 | 1 << 8 | 3, 100],
    ),
    "send_cmd": (
        lambda c, b: c.send_cmd(0x7E, None, 1, 10, 11, 12, 13, 14, 15),
        0x7E,
        1,
        [10, 11, 12, 13, 14, 15],
    ),
    "format": (lambda c, b: c.format(15, 2, 1), 0x80, 1, [2 << 9 | 15]),
}


@pytest.mark.parametrize("name", ADMIN)
def test_admin_commands_on_the_wire(nvme0, name):
    call, opcode, nsid, dwords = ADMIN[name]
    buf = d.Buffer(4096)
    assert call(nvme0, buf) is nvme0
    sqe = wire(nvme0, lambda: nvme0)
    assert (sqe[0] & 0xFF, sqe[1]) == (opcode, nsid)
    assert sqe[10:16] == dwords + [0] * (6 - len(dwords))


def test_the_first_dword_takes_more_than_the_opcode(nvme0):
    sqe = wire(nvme0, lambda: nvme0.send_cmd(0xFE | 1 << 8))
    assert sqe[0] & 0x3FF == 0x1FE


@pytest.mark.parametrize(
    "wrong, match",
    [
        (lambda c, b: c.getlogpage(2, b, 3), "size must be dword aligned"),
        (lambda c, b: c.getlogpage(2, b, 4, 2), "offset must be dword aligned"),
        (lambda c, b: c.getlogpage(2, b, 4, 1 << 64), "64-bit field"),
        (lambda c, b: c.getlogpage(2, b, 1 << 40), "32-bit field"),
        (lambda c, b: c.getlogpage(2, b, 8192), None),
        (lambda c, b: c.format(ses=8), "invalid format ses"),
        (lambda c, b: c.format(lbaf=16), "invalid format lbaf"),
        (lambda c, b: c.fw_commit(8, 1), "invalid fw slot: 8"),
        (lambda c, b: c.fw_commit(1, 8), "invalid fw commit action: 8"),
        (lambda c, b: c.mi_send(1, mtype=2), None),
        (lambda c, b: c.security_send(None, 1), None),
        (lambda c, b: c.security_send(b, 65536), None),
        (lambda c, b: c.identify(d.Buffer(4095)), None),
        (lambda c, b: c.cmdname(256), None),
        (lambda c, b: c.supports(512), None),
        (lambda c, b: c[2], "only support 4-byte aligned NVMe register read"),
        (lambda c, b: c.__setitem__(2, 0), "only support 4-byte aligned NVMe register write"),
    ],
)
def test_what_is_refused(nvme0, wrong, match):
    sent = len(nvme0.cmdlog_entries())
    with pytest.raises(AssertionError, match=match):
        wrong(nvme0, d.Buffer(4096))
    assert len(nvme0.cmdlog_entries()) == sent


ADMIN_NAMES = {
    0x00: "Delete I/O Submission Queue",
    0x01: "Create I/O Submission Queue",
    0x02: "Get Log Page",
    0x04: "Delete I/O Completion Queue",
    0x05: "Create I/O Completion Queue",
    0x06: "Identify",
    0x08: "Abort",
    0x09: "Set Features",
    0x0A: "Get Features",
    0x0C: "Asynchronous Event Request",
    0x0D: "Namespace Management",
    0x10: "Firmware Commit",
    0x11: "Firmware Image Download",
    0x14: "Device Self-test",
    0x15: "Namespace Attachment",
    0x18: "Keep Alive",
    0x19: "Directive Send",
    0x1A: "Directive Receive",
    0x1C: "Virtualization Management",
    0x1D: "NVMe-MI Send",
    0x1E: "NVMe-MI Receive",
    0x7C: "Doorbell Buffer Config",
    0x7F: "Fabrics Command",
    0x80: "Format NVM",
    0x81: "Security Send",
    0x82: "Security Receive",
    0x84: "Sanitize",
}


def test_names_of_admin_commands():
    for opcode in range(256):
        expected = ADMIN_NAMES.get(opcode, "Vendor specific" if opcode >= 0xC0 else "Unknown")
        assert d.Controller.cmdname(opcode) == expected, hex(opcode)


def test_a_controller_is_made_of_a_device(pcie):
    class Mine(d.Pcie):
        pass

    other = Mine(pcie_address(pcie))
    with pytest.raises(AssertionError):
        d.Controller(other)
    other.close()
    for wrong in (None, 5, "127.0.0.1"):
        with pytest.raises(TypeError):
            d.Controller(wrong)
    for wrong in (False, 5, "init"):
        with pytest.raises(AssertionError):
            d.Controller(pcie, wrong)


def pcie_address(pcie):
    """Where to find the device again."""
    return d.Controller(pcie).addr


def test_an_initialisation_of_ones_own_is_not_needed_over_tcp(pcie):
    called = []
    d.Controller(pcie, called.append)
    assert called == []
    assert d.Controller(pcie, True).getfeatures(7).waitdone() > 0


def test_a_running_controller_is_not_reset_by_who_attached(pcie):
    with pytest.raises(AssertionError):
        d.Controller(pcie, True).reset()


def test_registers(nvme0):
    assert nvme0.cap == nvme0[0] | nvme0[4] << 32
    assert nvme0[0x14] & 1 == 1 and nvme0[0x1C] & 1 == 1
    with pytest.raises(IndexError):
        nvme0[0x100000]
    for wrong in ("0", None, [0]):
        with pytest.raises(TypeError):
            nvme0[wrong]
    with pytest.raises(OverflowError):
        nvme0[-4]


def test_the_timeout(pcie):
    nvme0 = d.Controller(pcie)
    assert nvme0.timeout == 10000
    nvme0.timeout = 20000
    nvme0.reset()
    assert nvme0.timeout == 20000
    nvme0.getfeatures(7).waitdone()


def test_the_latest_command_is_the_latest_submitted(nvme0):
    nvme0.getfeatures(7)
    entry = nvme0.cmdlog_entries(1)[0]
    assert entry["completion"] is None and nvme0.latest_cid == entry["sqe"][0] >> 16
    nvme0.waitdone()
    assert 0 < nvme0.latest_latency < 10_000_000


def test_mdts_is_capped(nvme0):
    assert nvme0.mdts == min(1 << 20, 4096 << nvme0.id_data(77)) if nvme0.id_data(77) else 1 << 20
    entries = nvme0.cmdlog_entries(1)
    assert entries[0]["sqe"][0] & 0xFF == 6, "it asks each time"


def test_fields_of_identify(nvme0, nvme0n1):
    buf = d.Buffer(4096)
    nvme0.identify(buf).waitdone()
    assert nvme0.id_data(1, 0) == buf.data(1, 0)
    assert nvme0.id_data(4095, 0) == int.from_bytes(buf[:], "little")
    assert nvme0.id_data(23, 4, str) == buf.data(23, 4, str)
    assert nvme0.id_data(7, 0, nsid=1, cns=0) == nvme0n1.id_data(7, 0)
    assert nvme0n1.id_data(63.0, 48.0, int, 0.0) == nvme0n1.capacity
    with pytest.raises(AssertionError, match="identify data should be int or str"):
        nvme0.id_data(1, 0, bytes)


def test_supports(nvme0, nvme0n1):
    log = d.Buffer(4096)
    nvme0.getlogpage(5, log).waitdone()
    for opcode in (2, 6, 0xC1, 256 + 2, 256 + 1, 511):
        assert nvme0.supports(opcode) == bool(log.data(4 * opcode) & 1)
    assert nvme0n1.supports(2) == nvme0.supports(258)


def test_127_admin_commands_and_no_more(pciaddr):
    pcie = d.Pcie(pciaddr)
    nvme0 = d.Controller(pcie)
    done = []
    for _ in range(126):
        nvme0.getfeatures(7, cb=done.append)
    with pytest.raises(AssertionError, match=r"^error in submitting admin commands, -"):
        nvme0.getfeatures(7)
    nvme0.waitdone(126)
    assert len(done) == 126
    nvme0.getfeatures(7).waitdone()
    pcie.close()


def test_waiting_for_less_leaves_the_rest(nvme0):
    done = []
    for _ in range(5):
        nvme0.getfeatures(7, cb=done.append)
    nvme0.waitdone(2)
    assert 2 <= len(done) <= 5
    nvme0.waitdone(5 - len(done))
    assert len(done) == 5


def test_downloading_firmware(nvme0, tmp_path, caplog):
    caplog.set_level("INFO")
    image = tmp_path / "image.bin"
    image.write_bytes(bytes(range(256)) * 20)
    with pytest.warns(UserWarning, match="ERROR status"):
        nvme0.downfw(str(image), 2)
    commands = [entry["sqe"] for entry in reversed(nvme0.cmdlog_entries(3))]
    assert [sqe[0] & 0xFF for sqe in commands] == [0x11, 0x11, 0x10]
    assert [sqe[10:12] for sqe in commands] == [[1023, 0], [1023, 1024], [1 << 3 | 2, 0]]
    assert f"download firmware image {image} to slot 2 and activate" in caplog.messages
    assert "download firmware completed" in caplog.messages
    with pytest.raises(OSError, match="No such file"):
        nvme0.downfw(str(tmp_path / "missing"))
