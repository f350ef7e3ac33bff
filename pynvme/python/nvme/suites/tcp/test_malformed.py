"""PDUs that are not as they should be: the target ends that association, and serves the others."""

from __future__ import annotations  # for Python 3.9

import dataclasses
from collections.abc import Callable

import pytest

from nvme import wire

from .structures import SET_FEATURES, with_dword
from .verdicts import HEADER_FIELD, LIMIT, OUT_OF_RANGE, PARAMETER, SEQUENCE, fatal

COMMON = "PDU Common Header"
ERRORS = "Error Handling Model"
ICREQ = "Initialize Connection Request PDU (ICReq)"
CAPSULE = "Command Capsule PDU (CapsuleCmd)"
H2C_DATA = "Host To Controller Data Transfer PDU (H2CData)"

# Offsets in the headers, for FEI.
TYPE, HLEN, PDO, PLEN, PFV, HPDA = 0, 2, 3, 4, 8, 10
# SGL Data Block with an offset into the capsule.
IN_CAPSULE = 0x01
HOST_IDENTIFIER = 0x81


@dataclasses.dataclass(frozen=True)
class Case:
    """Something a target must not accept: a PDU that is right but for some fields."""

    name: str
    section: str
    pdu: Callable  # from a connection in its state
    fields: dict
    reasons: dict

    def frame(self, connection):
        """What is sent."""
        frame = connection.frame(self.pdu(connection))
        for field, value in self.fields.items():
            setattr(frame, field, value)
        return frame


def connect(connection):
    """The capsule that is due before all others; it has data."""
    return connection.connect_pdu(cid=1)


def keep_alive(_connection):
    """A command without data."""
    return wire.Pdu.capsule_cmd(wire.Command.keep_alive(1))


def host_identifier(_connection):
    """A command with a little data: Set Features, Host Identifier, with its 16 bytes in the capsule."""
    sqe = wire.Command.of(SET_FEATURES, cid=1)
    sqe = sqe[:24] + bytes(8) + (16).to_bytes(4, "little") + bytes(3) + bytes([IN_CAPSULE]) + sqe[40:]
    return wire.Pdu.capsule_cmd(with_dword(with_dword(sqe, 10, HOST_IDENTIFIER), 11, 1), bytes(16))


def icreq(**fields):
    """An ICReq with some values."""
    return lambda _connection: wire.Pdu.icreq(**fields)


def data(_connection):
    """Data that nobody asked for."""
    return wire.Pdu.h2c_data(1, 1, 0, bytes(512))


TYPES = {
    0x01: "ICResp",
    0x03: "C2HTermReq",
    0x05: "CapsuleResp",
    0x07: "C2HData",
    0x08: "reserved",
    0x09: "R2T",
    0xFF: "reserved",
}


def wrong_types(pdu):
    """A PDU of every type that is none for a host."""
    reasons = {HEADER_FIELD: TYPE, SEQUENCE: None}
    return [
        Case(f"type {code:02x} {name}", COMMON, pdu, {"pdu_type": code}, reasons)
        for code, name in TYPES.items()
    ]


def wrong_field(pdu, section, field, offset, values):
    """A PDU with values of one field that it must not have."""
    return [
        Case(f"{field.upper()} {value:#x}", section, pdu, {field: value}, {HEADER_FIELD: offset})
        for value in values
    ]


def wrong_offsets(pdu):
    """PDO of a command with data: in the header, or where no data may begin."""
    values = {"in the header": 64, "4": 4, "no multiple of 4": 74, "255": 255}
    return [
        Case(f"PDO {name}", CAPSULE, pdu, {"pdo": value}, {HEADER_FIELD: PDO})
        for name, value in values.items()
    ]


SECOND_ICREQ = Case("second ICReq", ERRORS, icreq(), {}, {SEQUENCE: None})

BEFORE_ICREQ = [
    *wrong_types(icreq()),
    *wrong_field(icreq(), ICREQ, "hlen", HLEN, (0, 8, 127, 129, 255)),
    *wrong_field(icreq(), ICREQ, "plen", PLEN, (0, 8, 127, 129, 136, 0xFFFFFFFF)),
    *(
        Case(f"PFV {value:x}", ICREQ, icreq(pfv=value), {}, fatal(HEADER_FIELD, PARAMETER, fei=PFV))
        for value in (1, 0x100, 0xFFFF)
    ),
    *(
        Case(f"HPDA {value}", ICREQ, icreq(hpda=value), {}, fatal(HEADER_FIELD, PARAMETER, fei=HPDA))
        for value in (32, 255)
    ),
    Case("command first", ERRORS, keep_alive, {}, {SEQUENCE: None}),
    Case("data first", ERRORS, data, {}, {SEQUENCE: None}),
]

BEFORE_CONNECT = [
    *wrong_types(connect),
    SECOND_ICREQ,
    *wrong_field(connect, CAPSULE, "hlen", HLEN, (0, 8, 71, 73, 128, 255)),
    *wrong_field(connect, CAPSULE, "plen", PLEN, (0, 7, 8, 71, 0x7FFFFFFF, 0xFFFFFFFF)),
    *wrong_offsets(connect),
]

CONNECTED = [
    *wrong_types(keep_alive),
    SECOND_ICREQ,
    *wrong_field(keep_alive, CAPSULE, "hlen", HLEN, (0, 8, 71, 73, 128, 255)),
    *wrong_field(keep_alive, CAPSULE, "plen", PLEN, (0, 7, 8, 71, 0x7FFFFFFF, 0xFFFFFFFF)),
    *wrong_offsets(connect),
    Case("PDO behind PLEN", CAPSULE, host_identifier, {"pdo": 128}, {HEADER_FIELD: PDO}),
    Case(
        "data without R2T",
        H2C_DATA,
        data,
        {},
        dict.fromkeys((HEADER_FIELD, SEQUENCE, OUT_OF_RANGE, LIMIT, PARAMETER)),
    ),
    Case("data HLEN 23", H2C_DATA, data, {"hlen": 23}, {HEADER_FIELD: HLEN}),
    Case("data PLEN 0x17", H2C_DATA, data, {"plen": 23}, {HEADER_FIELD: PLEN}),
]


def parameters(cases):
    """Cases for pytest, each with its part of the specification."""
    return [pytest.param(case, id=case.name, marks=pytest.mark.section(case.section)) for case in cases]


def must_not_be_accepted(target, connection, case, judged="end"):
    """The association ends, for a reason of these."""
    frame = case.frame(connection)
    target.send(connection, frame)
    target.must_end(connection, case.reasons, judged, bytes(frame))


@pytest.mark.parametrize("case", parameters(BEFORE_ICREQ))
def test_before_icreq(target, case, judged):
    """On a fresh connection."""
    must_not_be_accepted(target, target.open(), case, judged)


@pytest.mark.parametrize("case", parameters(BEFORE_CONNECT))
def test_before_connect(target, case):
    """After ICReq and ICResp, instead of the Connect command."""
    must_not_be_accepted(target, target.initialised(), case)


@pytest.mark.parametrize("case", parameters(CONNECTED))
def test_on_admin_queue(target, case, judged):
    """On an enabled controller."""
    must_not_be_accepted(target, target.admin(), case, judged)


@pytest.mark.parametrize("case", parameters(CONNECTED))
def test_on_io_queue(target, case):
    """On a queue with I/O commands."""
    must_not_be_accepted(target, target.io(), case)
