"""The contract's section 2.1: what scripts of the original rely on in a Buffer."""

import nvme as d
import pytest


def test_alignment_and_address():
    first, second = d.Buffer(100), d.Buffer(5000)
    for buf in (first, second):
        assert buf.phys_addr % 4096 == 0
    assert first.phys_addr != second.phys_addr
    first.offset = 12
    assert first.phys_addr % 4096 == 12


def test_a_dword_pattern_leaves_the_tail_zero():
    assert d.Buffer(7, pvalue=0xFFFFFFFF, ptype=32)[:] == b"\xff\xff\xff\xff\0\0\0"


@pytest.mark.parametrize("percent, size", [(0, 1000), (1, 1000), (33, 1000), (100, 1000), (50, 1)])
def test_a_random_part_is_as_large_as_asked(percent, size):
    buf = d.Buffer(size, pvalue=percent, ptype=0xBEEF)
    assert buf[size * percent // 100 :] == bytes(size - size * percent // 100)
    if percent > 1:
        assert size == 1 or any(buf[: size * percent // 100])


def test_offset_moves_the_device_and_nothing_else(nvme0):
    buf, plain = d.Buffer(8192), d.Buffer(4096)
    nvme0.identify(plain).waitdone()
    buf.offset = 512
    nvme0.identify(buf).waitdone()
    assert buf[:512] == bytes(512) and buf[512:4608] == plain[:]
    assert buf.data(1, 0) == 0 and plain.data(1, 0) != 0 and buf.dump(16).splitlines()[1].endswith("." * 16)


def test_size_is_what_raw_commands_transfer(nvme0n1, qpair):
    buf = d.Buffer(4096, pvalue=1)
    buf.size = 512
    nvme0n1.write_zeroes(qpair, 0, 8).waitdone()
    nvme0n1.send_cmd(2, qpair, buf, 1).waitdone()
    assert buf[:512] == bytes(512) and buf[512:] == b"\xff" * (4096 - 512)
    assert len(buf) == 4096, "the length stays"


def test_a_page_behind_the_end_is_nobodys(nvme0n1, qpair):
    buf, others = d.Buffer(4096), [d.Buffer(4096, pvalue=1) for _ in range(50)]
    buf.offset = 4096
    nvme0n1.read(qpair, buf, 0, 8).waitdone()
    assert all(other[:] == b"\xff" * 4096 for other in others)
    buf.offset = 4100
    with pytest.raises(AssertionError):
        nvme0n1.read(qpair, buf, 0, 8)


def test_slices_take_any_iterable():
    buf = d.Buffer(16)
    buf[0:] = range(4)
    buf[4:100:7] = (value for value in (9, 8))
    buf[-2:] = bytearray(b"ab")
    assert buf[:] == b"\0\1\2\3\x09\x08" + bytes(8) + b"ab"
    with pytest.raises(OverflowError):
        buf[0] = -1
    with pytest.raises(TypeError):
        buf[0] = None
    with pytest.raises(TypeError):
        buf[:] = 5


def test_identity_and_iteration():
    first, second = d.Buffer(4), d.Buffer(4)
    assert first == first and first != second and len({first, second}) == 2
    assert list(first) == [0] * 4 and 5 not in first


def test_text_has_no_trailing_blanks():
    buf = d.Buffer(16)
    buf[:] = b"  SN 1 \t\n  "
    assert buf.data(9, 0, str) == "  SN 1"


def test_dump_prints_all_of_it_when_asked_for_too_much():
    buf = d.Buffer(32, "mine")
    assert buf.dump(1000) == buf.dump() == buf.dump(None)
    assert buf.dump().endswith("\n") and len(buf.dump().splitlines()) == 3


def test_ranges_of_dataset_management():
    buf = d.Buffer(4096)
    buf.set_dsm_range(255, (1 << 64) - 1, (1 << 32) - 1, (1 << 32) - 1)
    assert buf[4080:] == b"\xff" * 16
    for lba, count in ((-1, 1), (1 << 64, 1), (0, -1), (0, 1 << 32)):
        with pytest.raises(OverflowError):
            buf.set_dsm_range(0, lba, count)
    for lba, count in ((True, 1), ("0", 1), (0, None)):
        with pytest.raises(AssertionError, match="parameter must be integer"):
            buf.set_dsm_range(0, lba, count)


@pytest.mark.parametrize("value", ["8", b"8", None, [8], "x"])
def test_integers_are_what_has_int_and_no_text(value):
    with pytest.raises(TypeError):
        d.Buffer(value)
    assert len(d.Buffer(8.9)) == 8 and len(d.Buffer(True)) == 1
