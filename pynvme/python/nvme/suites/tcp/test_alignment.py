"""Every HPDA: data for the host comes at multiples of it, also with digests, and writes are asked for as ever."""

import pytest

from .data import pattern

SECTIONS = (
    "Initialize Connection Request PDU (ICReq)",
    "Controller To Host Data Transfer PDU (C2HData)",
    "Ready to Transfer PDU (R2T)",
)


@pytest.mark.section(*SECTIONS[:2])
@pytest.mark.parametrize("hpda", range(32))
def test_alignment(target, hpda):
    """Identify data comes aligned. A controller may say that it does not support an HPDA (FES 6, FEI 10)."""
    connection = target.admin(hpda=hpda)
    if len(connection.identify(1)) != 4096:
        target.fail("Identify did not return 4096 bytes")


@pytest.mark.section(*SECTIONS)
@pytest.mark.parametrize("dgst", range(4))
@pytest.mark.parametrize("hpda", [0, 1, 2, 7, 31])
def test_alignment_of_reads_and_writes(target, hpda, dgst):
    """So does what is read on an I/O queue, and what was written by R2T is right."""
    length = target.on_request
    connection = target.io(hpda=hpda, dgst=dgst)
    data = pattern(length, hpda)
    target.must_succeed(
        connection.execute(target.write(1, length), on_request=data), f"a write of {length} bytes"
    )
    outcome = target.must_succeed(connection.execute(target.read(2, length)), f"a read of {length} bytes")
    if outcome.data != data:
        target.fail(f"of {length} bytes written, {len(outcome.data)} were read, and they differ")
