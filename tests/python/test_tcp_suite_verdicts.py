"""Verdicts of nvme.suites.tcp on targets that exist only here: who conforms passes, who does not fails."""

import itertools
import time
import types

import pytest
from _pytest.outcomes import Failed, Skipped
from nvme import wire
from nvme.suites.tcp.association import Barred, Refused, connect
from nvme.suites.tcp.collect import Collector, all_succeed, arrivals, asked
from nvme.suites.tcp.device import Device, Gone
from nvme.suites.tcp.evidence import hexdump
from nvme.suites.tcp.facts import Facts, NoNamespace, learn
from nvme.suites.tcp.proxy import split
from nvme.suites.tcp.target import Target
from nvme.suites.tcp.verdicts import HEADER_FIELD, LIMIT, PARAMETER, SEQUENCE, Verdicts, fatal

FACTS = Facts(
    model="Disk", firmware="1", in_capsule=8192, mdts=0, longest=1 << 20, deepest=128, ready=5, granularity=100,
    traffic_based=False, disconnect=False, namespaces=2, nsid=1, block=512, blocks=4096,
)  # fmt: skip


class Wire:
    """A connection on which a script comes; what is sent is kept."""

    def __init__(self, *arrivals):
        self.arrivals, self.sent = list(arrivals), []

    def receive(self, timeout=5):
        return self.arrivals.pop(0) if self.arrivals else None

    def send(self, what):
        self.sent.append(what)

    def data_pdus(self, r2t, data):
        return [wire.Pdu.h2c_data(r2t["cccid"], r2t["ttag"], r2t["r2to"], data)]


def response(cid, status=0):
    return wire.Pdu.capsule_resp(bytes(12) + cid.to_bytes(2, "little") + (status << 1).to_bytes(2, "little"))


def target(**changed):
    facts = types.SimpleNamespace(**{**{f: getattr(FACTS, f) for f in FACTS.__dataclass_fields__}, **changed})
    return Target(types.SimpleNamespace(facts=facts), ["Error Handling Model"])


HEADER = bytes(range(72))


@pytest.mark.parametrize(
    "fes, fei, data, wrong",
    [
        (HEADER_FIELD, 8, HEADER, None),
        (HEADER_FIELD, 8, HEADER[:24], None),
        (SEQUENCE, 77, b"", None),
        (HEADER_FIELD, 9, HEADER, "FEI 0x9, expected 0x8, the offset of the field in error"),
        (LIMIT, 0, HEADER, r"FES 5 \(Data Transfer Limit Exceeded\), expected 1"),
        (0, 0, HEADER, r"FES 0 \(reserved\)"),
        (HEADER_FIELD, 8, bytes(72), "not the header of the PDU in error"),
    ],
)
def test_reasons_are_compared(fes, fei, data, wrong):
    verdicts, connection = Verdicts(["Here"]), Wire(wire.Pdu.c2h_term_req(fes, fei, data))
    reasons = fatal(HEADER_FIELD, PARAMETER, SEQUENCE, fei=8)
    if wrong is None:
        verdicts.must_end(connection, reasons, "reason", HEADER + bytes(1024))
        return
    with pytest.raises(Failed, match=wrong) as failed:
        verdicts.must_end(connection, reasons, "reason", HEADER + bytes(1024))
    assert '"Here"' in str(failed.value)


def test_going_on_is_a_violation():
    with pytest.raises(Failed, match="nothing came within 5 s"):
        Verdicts(["Here"]).must_end(Wire(), {SEQUENCE: None})
    with pytest.raises(Failed, match="the target answered <CapsuleResp"):
        Verdicts(["Here"]).must_end(Wire(response(1)), {SEQUENCE: None})
    after = Wire(wire.Pdu.c2h_term_req(SEQUENCE), response(1))
    with pytest.raises(Failed, match="after C2HTermReq the target sent"):
        Verdicts(["Here"]).must_end(after, {SEQUENCE: None})


def test_commands_complete_in_any_order_and_their_data_interleaves():
    data = wire.Pdu.c2h_data
    connection = Wire(
        data(7, 0, b"ab", last=False), data(3, 0, b"xyzw", success=True), data(7, 2, b"cd"),
        response(9), response(7),
    )  # fmt: skip
    assert all_succeed(target(), connection, [3, 7, 9]) == {3: b"xyzw", 7: b"abcd", 9: b""}


@pytest.mark.parametrize(
    "arrivals, wrong",
    [
        ([response(1)], "1 of 2 commands completed"),
        ([response(8)], "belongs to no command that was sent"),
        ([wire.Pdu.c2h_data(5, 0, b"abcd")], "belongs to no command that was sent"),
        ([wire.Pdu.c2h_data(1, 4, b"abcd")], "where byte 0 was due"),
        ([wire.Pdu.r2t(1, 0, 0, 4)], "a command with 0 bytes to write"),
        ([response(1), response(1)], "command 1 completed with 00/00, 00/00"),
        ([response(1), response(2, 0x80)], "command 2 completed with 00/80"),
        ([wire.Pdu.icresp()], "<ICResp"),
    ],
)
def test_what_does_not_belong_there_is_a_violation(arrivals, wrong):
    with pytest.raises(Failed, match=wrong):
        all_succeed(target(), Wire(*arrivals), [1, 2])


def test_every_r2t_is_answered_from_the_data_of_its_command():
    connection = Wire(wire.Pdu.r2t(1, 5, 0, 4), wire.Pdu.r2t(1, 6, 4, 2), response(1))
    assert Collector(target(), connection, [1], {1: b"abcdef"}).until(1)
    assert [(pdu["ttag"], pdu["datao"], pdu.data) for pdu in connection.sent] == [
        (5, 0, b"abcd"),
        (6, 4, b"ef"),
    ]


@pytest.mark.parametrize("offset, length", [(0, 516), (4, 512), (0, 0), (512, 4), (0, 0xFFFFFFFC)])
def test_what_an_r2t_asks_for_is_data_of_its_command(offset, length):
    with pytest.raises(Failed, match="asks for others"):
        asked(target(), Wire(wire.Pdu.r2t(9, 0, offset, length)), 9, 512)
    assert asked(target(), Wire(wire.Pdu.r2t(9, 0, 8, 504)), 9, 512)["r2tl"] == 504


def test_a_target_that_sends_without_end_is_not_listened_to_for_ever():
    endless = types.SimpleNamespace(receive=lambda: response(1))
    *first, last = itertools.takewhile(lambda arrived: arrived is not None, arrivals(endless, 0.2))
    assert repr(last) == repr(response(1)) and first


def test_the_end_of_what_came_is_shown():
    assert hexdump(b"") == "  (nothing)"
    rows = hexdump(bytes(16) * 3 + b"abc").splitlines()
    assert (
        rows[0].startswith("  000000  00 00")
        and rows[1] == "  *"
        and rows[2].startswith("  000030  61 62 63  ")
    )
    begin = time.monotonic()
    rows = hexdump(bytes(range(24)) * (2 << 20)).splitlines()
    assert len(rows) == 61 and "in the capture" in rows[0] and rows[-1].endswith(" 17  ................")
    assert time.monotonic() - begin < 5


def test_what_needs_no_r2t_is_not_asked_for():
    assert target(in_capsule=0).on_request == 1024
    assert target().on_request == 8192 + 512
    with pytest.raises(Skipped, match="no R2T is needed"):
        target(longest=8192).on_request
    with pytest.raises(Skipped, match="all namespaces have metadata"):
        target(nsid=None).read(1, 512)


class Admin:
    """An admin queue that answers Identify and Connect as it is told."""

    def __init__(self, namespaces=(), status="00/00", result=0, blocks=1000, lbads=9):
        self._namespaces, self._blocks, self._lbads = dict(namespaces), blocks, lbads
        self._outcome = types.SimpleNamespace(status=status, result=result)

    def identify(self, cns, nsid=0):
        data = bytearray(4096)
        if cns == 2:
            for place, one in enumerate(sorted(self._namespaces)):
                data[4 * place : 4 * place + 4] = one.to_bytes(4, "little")
        elif cns == 0:
            data[0:8] = self._blocks.to_bytes(8, "little")
            data[128:132] = (self._lbads << 16 | self._namespaces[nsid]).to_bytes(4, "little")
        return bytes(data)

    def property_get(self, offset, wide):
        # CAP.TO 20 s, 16 entries.
        return 40 << 24 | 15

    def connect_pdu(self, **queue):
        return queue

    def send(self, what):
        pass

    def wait(self, cid):
        return self._outcome


def test_the_first_namespace_without_metadata_is_tested():
    facts = learn(Admin({1: 8, 4: 0, 5: 0}))
    assert (facts.nsid, facts.block, facts.blocks, facts.longest) == (4, 512, 1000, 512_000)
    assert (facts.entries, facts.ready, facts.in_capsule) == (16, 20, 0)
    assert learn(Admin({1: 8})).nsid is None
    with pytest.raises(NoNamespace):
        learn(Admin())


@pytest.mark.parametrize(
    "nonsense", [{"blocks": 0}, {"lbads": 0}, {"lbads": 8}, {"lbads": 21}, {"lbads": 255}]
)
def test_a_namespace_that_cannot_be(nonsense):
    with pytest.raises(NoNamespace, match="is active with"):
        learn(Admin({1: 0}, **nonsense))


def test_hosts_that_are_not_let_in():
    assert connect(Admin(result=0x17)) == 0x17
    for flag in (1 << 17, 1 << 18):
        with pytest.raises(Barred, match="demands authentication"):
            connect(Admin(result=flag | 1))
    with pytest.raises(Barred, match="--hostnqn"):
        connect(Admin(status="01/84"))
    with pytest.raises(Refused) as refused:
        connect(Admin(status="01/81"))
    assert refused.value.status == "01/81"


@pytest.mark.parametrize("address", ["01:00.0", "a host:4420", "[::1"])
def test_names_that_lead_nowhere(address):
    with pytest.raises(Gone):
        Device(address, "nqn.2026-01.org.example:disk").begin()


def test_a_target_without_keep_alive_is_tested_without(monkeypatch):
    tried = []

    def witness(device):
        tried.append(device.kato)
        if device.kato:
            raise Refused("Connect of queue 0", "00/1a")
        return types.SimpleNamespace(facts=FACTS)

    monkeypatch.setattr("nvme.suites.tcp.device.Witness", witness)
    device = Device("192.0.2.1", "nqn.a")
    device.begin()
    assert tried == [120_000, 0] and device.facts is FACTS


@pytest.mark.parametrize(
    "address, parts",
    [
        ("192.0.2.1", ("192.0.2.1", 4420)),
        ("disk.example:8009", ("disk.example", 8009)),
        ("[fe80::1]:4421", ("fe80::1", 4421)),
        ("[fe80::1]", ("fe80::1", 4420)),
        ("fe80::1", ("fe80::1", 4420)),
    ],
)
def test_addresses_with_and_without_a_port(address, parts):
    assert split(address) == parts
