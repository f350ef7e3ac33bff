"""Data PDUs that do not fit what was asked for: the association ends, or with a data digest the command alone."""

import pytest

from .collect import asked
from .data import answer, data_for, first_part, pattern
from .test_data_transfer import H2C_DATA
from .verdicts import HEADER_FIELD, LIMIT, OUT_OF_RANGE, PARAMETER, SEQUENCE, not_applicable

# Offsets in the header of H2CData, for FEI.
TTAG = 10
ANY = dict.fromkeys((HEADER_FIELD, SEQUENCE, OUT_OF_RANGE, LIMIT, PARAMETER))
NO_TAG = {HEADER_FIELD: TTAG}
# Data that does not go on where the last ended is out of sequence as well.
OFFSET = dict.fromkeys((OUT_OF_RANGE, SEQUENCE, HEADER_FIELD))
TOO_MUCH = dict.fromkeys((OUT_OF_RANGE, LIMIT, HEADER_FIELD))


@pytest.mark.section(H2C_DATA)
@pytest.mark.parametrize(
    "change, reasons",
    [
        (lambda r2t: {"ttag": r2t["ttag"] ^ 0xFFFF}, NO_TAG),
        (lambda r2t: {"ttag": r2t["ttag"] ^ 1}, NO_TAG),
        (lambda r2t: {"cccid": r2t["cccid"] ^ 1}, ANY),
        (lambda r2t: {"datao": r2t["r2to"] + 4}, OFFSET),
        (lambda r2t: {"datao": r2t["r2to"] + r2t["r2tl"]}, OFFSET),
        (lambda r2t: {"datao": 0xFFFFFFFC}, OFFSET),
        (lambda r2t: {"data": bytes(r2t["r2tl"] + 4)}, TOO_MUCH),
        (lambda r2t: {"data": bytes(2 * r2t["r2tl"])}, TOO_MUCH),
    ],
    ids=[
        "wrong TTAG",
        "TTAG off by one",
        "wrong CCCID",
        "offset too high",
        "offset behind the end",
        "offset that wraps",
        "one dword too many",
        "twice as much",
    ],
)
def test_data_nobody_asked_for(target, change, reasons, judged):
    """Data that does not fit the R2T ends the association."""
    length = target.on_request
    connection = target.io()
    r2t = asked(target, connection, 9, length)
    frame = connection.frame(data_for(r2t, bytes(first_part(connection, r2t)), **change(r2t)))
    target.send(connection, frame)
    target.must_end(connection, reasons, judged, bytes(frame))


@pytest.mark.section(H2C_DATA)
@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda frame, n: {"specific": with_length(frame, 0)}, id="DATAL 0"),
        pytest.param(lambda frame, n: {"specific": with_length(frame, n - 4)}, id="DATAL less"),
        pytest.param(lambda frame, n: {"specific": with_length(frame, 0xFFFFFFFF)}, id="DATAL ffffffff"),
        pytest.param(
            lambda frame, n: {"plen": frame.plen + 4, "data": frame.data + bytes(4)}, id="PLEN more"
        ),
        pytest.param(lambda frame, n: {"plen": frame.plen - 4}, id="PLEN less"),
        pytest.param(lambda frame, n: {"pdo": 8}, id="PDO in the header"),
        pytest.param(lambda frame, n: {"pdo": 25}, id="PDO odd"),
    ],
)
def test_lengths_that_contradict(target, change, judged):
    """DATAL, PLEN and PDO of a data PDU say the same, or the association ends."""
    length = target.on_request
    connection = target.io()
    r2t = asked(target, connection, 10, length)
    size = first_part(connection, r2t)
    frame = connection.frame(data_for(r2t, bytes(size)))
    for field, value in change(frame, size).items():
        setattr(frame, field, value)
    target.send(connection, frame)
    target.must_end(connection, TOO_MUCH, judged, bytes(frame))


def with_length(frame, length):
    """The header of a data PDU with another DATAL."""
    return frame.specific[:8] + length.to_bytes(4, "little") + frame.specific[12:]


@pytest.mark.section(H2C_DATA, "Initialize Connection Response PDU (ICResp)")
def test_maxh2cdata(target, judged):
    """A data PDU longer than MAXH2CDATA ends the association."""
    block, longest = target.facts.block, target.facts.longest
    shortest = target.on_request
    connection = target.io()
    most = target.icresp["maxh2cdata"]
    length = max((most // block + 1) * block, shortest)
    if length > longest:
        not_applicable(f"MAXH2CDATA, {most} bytes, covers the longest transfer")
    r2t = asked(target, connection, 11, length)
    if r2t["r2tl"] <= most:
        not_applicable(f"no R2T asks for more than MAXH2CDATA, {most} bytes")
    frame = connection.frame(data_for(r2t, bytes(r2t["r2tl"])))
    target.send(connection, frame)
    target.must_end(connection, dict.fromkeys((LIMIT, HEADER_FIELD)), judged, bytes(frame))


@pytest.mark.section(H2C_DATA)
@pytest.mark.parametrize("flaw", ["last too early", "never last", "same part twice"])
def test_last_pdu(target, flaw):
    """LAST_PDU where the data does not end, or not where it ends: no silence, and no data from nowhere."""
    length = target.on_request
    connection = target.io()
    outcome = connection.execute(target.write(13, length), on_request=pattern(length, 77))
    target.must_succeed(outcome, f"a write of {length} bytes")
    r2t = asked(target, connection, 13, length)
    size = first_part(connection, r2t)
    half = bytes(size // 8 * 4)
    if flaw == "last too early":
        # By itself it may be overlooked; what follows says LAST_PDU 0 after LAST_PDU 1.
        target.send(connection, data_for(r2t, half, last=True))
        rest = bytes(size - len(half))
        target.send(connection, data_for(r2t, rest, datao=r2t["r2to"] + len(half), last=False))
        target.must_answer_or_end(connection, 13, bytes(length))
    elif flaw == "never last":
        for pdu in connection.data_pdus(r2t, bytes(r2t["r2tl"])):
            target.send(connection, data_for(r2t, pdu.data, datao=pdu["datao"], last=False))
        target.must_answer_or_end(connection, 13, bytes(length))
    else:
        target.send(connection, data_for(r2t, half, last=False))
        target.send(connection, data_for(r2t, half, last=True))
        target.must_end(connection, OFFSET)


@pytest.mark.section(H2C_DATA)
def test_data_after_the_end(target, judged):
    """Data for a command that has completed is data nobody asked for."""
    length = target.on_request
    connection = target.io()
    r2t = asked(target, connection, 14, length)
    answer(connection, r2t, bytes(length))
    target.must_succeed(connection.wait(14, bytes(length)), "a write")
    frame = connection.frame(data_for(r2t, bytes(first_part(connection, r2t))))
    target.send(connection, frame)
    target.must_end(connection, ANY, judged, bytes(frame))


@pytest.mark.section("PDU Data Digest", "Error Handling Model")
@pytest.mark.parametrize("digest", ["wrong", 0], ids=["wrong", "zeros"])
def test_data_digest_of_requested_data(target, digest):
    """A wrong data digest fails the command with Transient Transport Error, and nothing else."""
    length = target.on_request
    connection = target.io(dgst=2)
    data = pattern(length, 9)
    r2t = asked(target, connection, 15, length)
    first, *others = connection.data_pdus(r2t, data[r2t["r2to"] : r2t["r2to"] + r2t["r2tl"]])
    frame = connection.frame(first)
    frame.data_digest = digest
    target.send(connection, frame)
    for pdu in others:
        target.send(connection, pdu)
    target.must_report_digest(connection, 15, data)
    target.must_serve(connection, target.read(16, length))
