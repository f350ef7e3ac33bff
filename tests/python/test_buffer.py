"""nvme.Buffer."""

import nvme as d
import pytest


def test_size_name_and_repr():
    buf = d.Buffer()
    assert (len(buf), buf.size, buf.offset, repr(buf)) == (4096, 4096, 0, "<buffer name: buffer>")
    buf = d.Buffer(10, "mine")
    assert (len(buf), buf.size, repr(buf)) == (10, 10, "<buffer name: mine>")
    for size in (0, -1):
        with pytest.raises(AssertionError, match=f"{size} is not valid size"):
            d.Buffer(size)
    with pytest.raises(MemoryError, match="no DMA memory"):
        d.Buffer(1 << 45)


@pytest.mark.parametrize(
    "pvalue, ptype, expected",
    [
        (0, 0, bytes(10)),
        (1, 0, b"\xff" * 10),
        (0x12345678, 32, b"\x78\x56\x34\x12" * 2 + b"\0\0"),
        (0, 0xBEEF, bytes(10)),
        (7, 99, bytes(10)),
    ],
)
def test_patterns(pvalue, ptype, expected):
    assert d.Buffer(10, pvalue=pvalue, ptype=ptype)[:] == expected


def test_random_patterns():
    buf = d.Buffer(1000, pvalue=50, ptype=0xBEEF)
    assert len(set(buf[:500])) > 50 and buf[500:] == bytes(500)
    with pytest.raises(AssertionError):
        d.Buffer(ptype=0xBEEF, pvalue=101)


def test_indexing():
    buf = d.Buffer(16)
    buf[0] = 1
    buf[-1] = 255
    assert (buf[0], buf[15], buf[-16]) == (1, 255, 1)
    for index in (16, -17, 100000000000, -100000000000, 1 << 200):
        with pytest.raises(IndexError):
            buf[index]
        with pytest.raises(IndexError):
            buf[index] = 0
    for index in ("0", 1.0, None):
        with pytest.raises(TypeError):
            buf[index]
    with pytest.raises(OverflowError):
        buf[0] = 256
    assert list(buf) == [1] + [0] * 14 + [255]


def test_slices_read_as_python_does():
    buf = d.Buffer(16)
    buf[:] = bytes(range(16))
    plain = bytes(range(16))
    for cut in (
        slice(None),
        slice(3, 7),
        slice(-4, None),
        slice(None, None, 3),
        slice(None, None, -1),
        slice(20, 30),
    ):
        assert buf[cut] == plain[cut], cut


def test_slices_write_from_their_start_on():
    buf = d.Buffer(8)
    buf[2:3] = b"abc"
    assert buf[:] == b"\0\0abc\0\0\0"
    buf[:] = [1, 2]
    assert buf[:3] == b"\x01\x02a"
    with pytest.raises(IndexError):
        buf[6:] = b"xyz"
    assert buf[6:] == b"xy", "what fits is there"
    with pytest.raises(OverflowError):
        buf[0:] = [300]


def test_fields():
    buf = d.Buffer(64)
    buf[:] = bytes(range(64))
    assert buf.data(0) == 0
    assert buf.data(3, 0) == 0x03020100
    assert buf.data(15, 0) == int.from_bytes(bytes(range(16)), "little")
    assert buf.data(31, 0) == int.from_bytes(bytes(range(32)), "little")
    assert buf.data(-1) == 63 and buf.data(-1, -4) == buf.data(63, 60) == 0x3F3E3D3C
    assert buf.data(-13, -16) == buf.data(51, 48)
    assert buf.data(70, 62) == 0x3F3E and buf.data(-64, -70) == 0 and buf.data(-65, -70) == 0
    assert buf.data(1, -70) == 0x0100
    buf[0:] = b"text    "
    assert buf.data(7, 0, str) == "text"
    with pytest.raises(AssertionError, match="identify data should be int or str"):
        buf.data(0, 0, bytes)


def test_dump():
    buf = d.Buffer(20, "mine")
    buf[:] = b"0123456789abcdef\x00\x7f~"
    first = "[0x00000000]  30 31 32 33 34 35 36 37  38 39 61 62 63 64 65 66  0123456789abcdef"
    lines = buf.dump().splitlines()
    assert lines[0] == "mine" and lines[1] == first
    assert lines[2].startswith("[0x00000010]  00 7f 7e 00 ") and lines[2].rstrip().endswith("..~.")
    assert len(lines[2]) == len(first)
    assert buf.dump(16).splitlines()[1:] == [first]
    assert buf.data_head == first.encode()
    assert buf.data_tail.startswith(b"[0x00000010]")


def test_size_and_offset():
    buf = d.Buffer(100)
    buf.size = 0
    buf.size = 100
    with pytest.raises(AssertionError, match="cannot be larger than physical size"):
        buf.size = 101
    address = buf.phys_addr
    buf.offset = 50
    assert buf.phys_addr == address + 50


def test_ranges_for_dataset_management():
    buf = d.Buffer(32)
    buf.set_dsm_range(1, 0x0102030405060708, 9, attr=3)
    assert buf[16:] == bytes([3, 0, 0, 0, 9, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1])
    with pytest.raises(AssertionError, match="parameter must be integer"):
        buf.set_dsm_range(0, 1.0, 1)
    with pytest.raises(IndexError):
        buf.set_dsm_range(2, 0, 1)


def test_subclasses_may_take_other_arguments():
    class PRP(d.Buffer):
        def __init__(self, size=100, comment=None):
            self.comment = comment

    assert len(PRP(50)) == 50
