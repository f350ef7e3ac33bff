"""Targets that answer what no target should: a command ends with an error, memory stays as it is, and resetting helps."""

import contextlib
import socket
import struct
import threading
import time
import warnings

import nvme as d
import pytest
from nvme import wire

READ, WRITE = 2, 1
BLOCKS = 64
SUCCESS = bytes(12)


class Liar:
    """Passes PDUs on between hosts and a target, and answers one command itself."""

    def __init__(self, address):
        self.icresp, self._opcode, self._answers = None, None, []
        host, port = address.rsplit(":", 1)
        self._target = (host, int(port))
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        threading.Thread(target=self._accept, daemon=True).start()

    def answer(self, opcode, *answers):
        """To the next I/O command with this opcode: the first of them, and the others to the data that follows. Each is
        a function that returns PDUs, or frames, given the command identifier and the bytes to be transferred."""
        self._opcode, self._answers = opcode, list(answers)

    def close(self):
        self._listener.close()

    def _accept(self):
        with contextlib.suppress(OSError):
            while True:
                ends = self._listener.accept()[0], socket.create_connection(self._target)
                for from_, to in (ends, ends[::-1]):
                    from_.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
                    threading.Thread(target=self._pass_on, args=(from_, to), daemon=True).start()

    def _pass_on(self, from_, to):
        command = None
        with contextlib.suppress(OSError, EOFError):
            while True:
                pdu = _read(from_, 8)
                pdu += _read(from_, struct.unpack_from("<I", pdu, 4)[0] - 8)
                if pdu[0] == 1 and self.icresp:
                    pdu = bytes(self.icresp.frame())
                lied_to = pdu[0] == 4 and self._answers and self._is_next(pdu)
                if lied_to:
                    command = struct.unpack_from("<H", pdu, 10) + struct.unpack_from("<I", pdu, 40)
                if not lied_to and not (command and pdu[0] == 6):
                    to.sendall(pdu)
                elif self._answers:
                    from_.sendall(b"".join(map(_bytes, self._answers.pop(0)(*command))))
        for end in (from_, to):
            with contextlib.suppress(OSError):
                end.shutdown(socket.SHUT_RDWR)

    def _is_next(self, pdu):
        return pdu[8] == self._opcode and pdu[12:16] == b"\1\0\0\0"


def _read(end, count):
    data = b""
    while len(data) < count:
        more = end.recv(count - len(data))
        if not more:
            raise EOFError
        data += more
    return data


def _bytes(answer):
    return bytes(answer.frame() if isinstance(answer, wire.Pdu) else answer)


def response(cid):
    return wire.Pdu.capsule_resp(SUCCESS + struct.pack("<HH", cid, 0))


def data(cid, length, offset=0, **fields):
    """C2HData, with some fields of the header as a test wants them."""
    success = fields.pop("success", False)
    frame = wire.Pdu.c2h_data(cid, offset, bytes([0xD]) * length, success=success).frame()
    for name, value in fields.items():
        setattr(frame, name, value)
    return frame


def r2t(cid, offset, length):
    return wire.Pdu.r2t(cccid=cid, ttag=1, r2to=offset, r2tl=length)


@pytest.fixture(scope="module")
def target():
    with d.Target(megabytes=16) as target:
        yield target


@pytest.fixture
def liar(target):
    liar = Liar(target.address)
    yield liar
    liar.close()


@pytest.fixture
def nvme0(liar, target):
    pcie = d.Tcp("127.0.0.1", liar.port, nqn=target.subnqn, timeout=5)
    yield d.Controller(pcie)
    pcie.close()


LIES = {
    "C2HTermReq with the last of the reasons": (
        READ,
        [lambda cid, n: [wire.Pdu.c2h_term_req(6, 0, bytes(24))]],
    ),
    "a response to a Read without its data": (READ, [lambda cid, n: [response(cid)]]),
    "a response to half a Read": (READ, [lambda cid, n: [data(cid, n // 2), response(cid)]]),
    "half a Read that says success": (READ, [lambda cid, n: [data(cid, n // 2, success=True)]]),
    "a response before the data": (READ, [lambda cid, n: [response(cid), data(cid, n)]]),
    "data of no bytes": (READ, [lambda cid, n: [data(cid, 0)]]),
    "data inside its header": (READ, [lambda cid, n: [data(cid, n, pdo=8)]]),
    "data far behind its header": (READ, [lambda cid, n: [data(cid, n, pdo=252, plen=252 + n)]]),
    "data with a PLEN that is too long": (READ, [lambda cid, n: [data(cid, n, plen=28 + n)]]),
    "R2T for a Read": (READ, [lambda cid, n: [r2t(cid, 0, n)]]),
    "data for a Write": (WRITE, [lambda cid, n: [data(cid, n)]]),
    "R2T and two responses": (WRITE, [lambda cid, n: [r2t(cid, 0, n), response(cid), response(cid)]]),
    "R2T, a response and data": (WRITE, [lambda cid, n: [r2t(cid, 0, n), response(cid), data(cid, n)]]),
    "R2T that leads behind 4 GiB": (
        WRITE,
        [lambda cid, n: [r2t(cid, 0, 4096)], lambda cid, n: [r2t(cid, 4096, (1 << 32) - 4096)]],
    ),
}


@pytest.mark.parametrize("lie", LIES)
def test_lies_end_the_connection(liar, nvme0, lie):
    opcode, answers = LIES[lie]
    nvme0n1, qpair = d.Namespace(nvme0), d.Qpair(nvme0, 8)
    buf = d.Buffer(BLOCKS * 512)
    written = bytes(range(256)) * (BLOCKS * 2)
    buf[:] = written
    liar.answer(opcode, *answers)
    send = nvme0n1.read if opcode == READ else nvme0n1.write
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        # The connection ends with the command, or with the next one.
        with pytest.raises(ConnectionError):
            send(qpair, buf, 0, BLOCKS).waitdone()
            if opcode == READ:
                assert any("ERROR status" in str(warning.message) for warning in said), "it succeeded"
            nvme0n1.flush(qpair).waitdone()
    if opcode == WRITE:
        # A write marks both ends of each block.
        assert bytes(buf[8:504]) == written[8:504]
    nvme0.reset()
    qpair = d.Qpair(nvme0, 8)
    nvme0n1.write(qpair, buf, 0, BLOCKS).waitdone()
    back = d.Buffer(BLOCKS * 512)
    nvme0n1.read(qpair, back, 0, BLOCKS).waitdone()
    assert bytes(back[:]) == bytes(buf[:])


def test_data_behind_padding(liar, nvme0):
    nvme0n1, qpair = d.Namespace(nvme0), d.Qpair(nvme0, 8)
    buf = d.Buffer(BLOCKS * 512)

    def padded(cid, length):
        return [data(cid, length, padding=bytes(40), pdo=64, plen=64 + length), response(cid)]

    liar.answer(READ, padded)
    nvme0n1.read(qpair, buf, 0, BLOCKS).waitdone()
    assert bytes(buf[:]) == b"\x0d" * (BLOCKS * 512)
    nvme0n1.read(qpair, buf, 0, BLOCKS).waitdone()


class Hasty(Liar):
    """Answers the last of some Writes before it has read their data."""

    writes, blocks = 6, 3900

    def __init__(self, address):
        self.seen = b""
        super().__init__(address)
        # What does not fit waits in the host.
        self._listener.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)

    def _pass_on(self, from_, to):
        cids = []
        with contextlib.suppress(OSError, EOFError):
            while len(cids) < self.writes:
                pdu = _read(from_, 8)
                pdu += _read(from_, struct.unpack_from("<I", pdu, 4)[0] - 8)
                if pdu[0] == 4 and pdu[8] == WRITE and pdu[12:16] == b"\1\0\0\0":
                    cids.append(struct.unpack_from("<H", pdu, 10)[0])
                else:
                    to.sendall(pdu)
            length = self.blocks * 512
            for cid in cids:
                from_.sendall(_bytes(r2t(cid, 0, length)))
            time.sleep(0.5)
            from_.sendall(_bytes(response(cids[-1])))
            time.sleep(0.5)
            came = {cid: b"" for cid in cids}
            while sum(map(len, came.values())) < length * len(cids):
                pdu = _read(from_, 24)
                cid = struct.unpack_from("<H", pdu, 8)[0]
                came[cid] += _read(from_, struct.unpack_from("<I", pdu, 4)[0] - 24)
            self.seen = came[cids[-1]]
            for cid in cids[:-1]:
                from_.sendall(_bytes(response(cid)))


def test_a_write_that_is_answered_before_it_was_sent(target):
    """Its buffer is the script's when all of it was sent, not before."""
    liar = Hasty(target.address)
    pcie = d.Tcp("127.0.0.1", liar.port, nqn=target.subnqn, timeout=5)
    nvme0 = d.Controller(pcie)
    nvme0n1, qpair = d.Namespace(nvme0), d.Qpair(nvme0, 16)
    bufs = [d.Buffer(liar.blocks * 512, pvalue=1) for _ in range(liar.writes)]

    def reuse(cpl):
        bufs[-1][:] = bytes([0xB]) * len(bufs[-1])

    for index, buf in enumerate(bufs):
        # Commands for the same blocks would be sent one after the other.
        lba = index * liar.blocks
        nvme0n1.write(qpair, buf, lba, liar.blocks, cb=reuse if buf is bufs[-1] else None)
    qpair.waitdone(liar.writes)
    assert bufs[-1][8] == 0xB
    assert len(liar.seen) == liar.blocks * 512
    # A write marks both ends of each block.
    for block in range(0, len(liar.seen), 512):
        assert liar.seen[block + 8 : block + 504] == b"\xff" * 496
    pcie.close()
    liar.close()


@pytest.mark.parametrize("asked, given", [(1, 0), (2, 0), (3, 1), (3, 2), (0, 1), (0, 2)])
def test_other_digests_than_asked_for(liar, target, asked, given):
    liar.icresp = wire.Pdu.icresp(dgst=given)
    digests = {"hdgst": bool(asked & 1), "ddgst": bool(asked & 2)}
    with pytest.raises(d.NvmeEnumerateError, match="digests, which were"):
        d.Tcp("127.0.0.1", liar.port, nqn=target.subnqn, timeout=5, **digests)
