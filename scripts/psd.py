"""Queues of a script's own: entries, doorbells and PRPs by hand, on a PCIe controller.

The driver knows nothing of them: it does not poll them, and neither cmdlog() nor verification nor timeouts see what goes
through them. Their identifiers must not be those of a Qpair.

    cq = IOCQ(nvme0, 1, 16, PRP(16 * 16))
    sq = IOSQ(nvme0, 1, 16, PRP(16 * 64))
    read = SQE(2, 1)
    read.prp1 = PRP()
    sq[0] = read
    sq.tail = 1
    while cq[0].p == 0: pass
    cq.head = 1
"""

import typing

from nvme import Buffer

PAGE = 4096
SQE_BYTES, CQE_BYTES, PRP_BYTES = 64, 16, 8
DOORBELLS = 0x1000

DELETE_SQ, CREATE_SQ, DELETE_CQ, CREATE_CQ = 0x00, 0x01, 0x04, 0x05


class PRP(Buffer):
    """Memory that commands and queues point to: a page unless more is asked for."""


class PRPList(PRP):
    """A page of 512 PRP entries; what they point to is kept.

    The last one may be another list that goes on. Entries begin at `offset`.
    """

    ENTRIES = PAGE // PRP_BYTES

    def __init__(self, *_):
        self._buffers = [None] * self.ENTRIES

    def _check(self, index):
        assert index < self.ENTRIES, "4K PRP List contains 512 PRP entries only"

    def __setitem__(self, index, buf):
        self._check(index)
        self._buffers[index] = buf
        for at, byte in enumerate(buf.phys_addr.to_bytes(PRP_BYTES, "little")):
            super().__setitem__(PRP_BYTES * index + at, byte)

    def __getitem__(self, index):
        self._check(index)
        return self._buffers[index]

    def find_buffer_by_offset(self, offset, start):
        """The buffer that byte `offset` falls into, counted from entry `start`, and where in it."""
        for index in range(start, self.ENTRIES):
            buf = self._buffers[index]
            assert buf is not None, f"entry {index} of the PRP list is not set"
            if index == self.ENTRIES - 1 and isinstance(buf, PRPList):
                return buf.find_buffer_by_offset(offset, buf.offset // PRP_BYTES)
            room = len(buf) - buf.offset
            if offset < room:
                return buf, buf.offset + offset
            offset -= room
        raise AssertionError("the PRP list ends before the offset")


def field(dword, low, bits):
    """A property for some bits of one of the dwords."""
    mask = (1 << bits) - 1

    def get(self):
        return self[dword] >> low & mask

    def put(self, value):
        self[dword] = self[dword] & ~(mask << low) | (value & mask) << low

    return property(get, put)


class SQE(list):
    """A submission queue entry: 16 dwords (NVMe Base Specification, Submission Queue Entry)."""

    _kept: typing.ClassVar[list] = []

    def __init__(self, *dwords):
        if len(dwords) == 1 and isinstance(dwords[0], list):
            dwords = dwords[0]
        assert len(dwords) <= 16, "an SQE has 16 dwords"
        super().__init__([*dwords, *[0] * (16 - len(dwords))])

    opc = field(0, 0, 8)
    cid = field(0, 16, 16)
    nsid = field(1, 0, 32)

    def _point(self, dword, buf):
        self._kept.append(buf)
        self[dword], self[dword + 1] = buf.phys_addr & 0xFFFFFFFF, buf.phys_addr >> 32

    @property
    def prp1(self):
        """PRP Entry 1: read as an address, set to a buffer."""
        return self[6] | self[7] << 32

    @prp1.setter
    def prp1(self, buf):
        self._point(6, buf)

    @property
    def prp2(self):
        """PRP Entry 2: read as an address, set to a buffer."""
        return self[8] | self[9] << 32

    @prp2.setter
    def prp2(self, buf):
        self._point(8, buf)

    def __repr__(self):
        return "\n".join(" ".join(f"{dword:08x}" for dword in self[at : at + 4]) for at in range(0, 16, 4))


class CQE(list):
    """A completion queue entry: 4 dwords (NVMe Base Specification, Completion Queue Entry)."""

    def __init__(self, dwords):
        super().__init__(dwords)
        assert len(self) == 4, "a CQE has 4 dwords"

    cdw0 = field(0, 0, 32)
    sqhd = field(2, 0, 16)
    sqid = field(2, 16, 16)
    cid = field(3, 0, 16)
    p = field(3, 16, 1)
    status = field(3, 17, 15)
    sc = field(3, 17, 8)
    sct = field(3, 25, 3)
    crd = field(3, 28, 2)
    m = field(3, 30, 1)
    dnr = field(3, 31, 1)

    def __repr__(self):
        return " ".join(f"{dword:08x}" for dword in self)


class _Queue:
    """Memory that is divided into slots, in one piece or behind a PRP list, and a doorbell."""

    def __init__(self, ctrlr, qid, qsize, memory, slot_bytes):
        assert 0 <= qid < 65536
        assert 0 < qsize <= 65536
        self.id = 0
        self._ctrlr, self._qsize, self._memory, self._slot_bytes = ctrlr, qsize, memory, slot_bytes

    def _created(self, qid):
        """A callback that takes the identifier once the controller has the queue."""

        def done(_, status):
            if status >> 1 == 0:
                self.id = qid

        return done

    def _slot(self, index):
        assert -self._qsize <= index < self._qsize, f"the queue has {self._qsize} entries"
        at = index % self._qsize * self._slot_bytes
        if isinstance(self._memory, PRPList):
            return self._memory.find_buffer_by_offset(at, self._memory.offset // PRP_BYTES)
        return self._memory, self._memory.offset + at

    def _load(self, index):
        buf, at = self._slot(index)
        data = buf[at : at + self._slot_bytes]
        return [int.from_bytes(data[i : i + 4], "little") for i in range(0, self._slot_bytes, 4)]

    def _store(self, index, dwords):
        buf, at = self._slot(index)
        buf[at : at + self._slot_bytes] = b"".join(dword.to_bytes(4, "little") for dword in dwords)

    def _delete(self, opcode, qid):
        qid = self.id if qid is None else qid
        if qid:
            self._ctrlr.send_cmd(opcode, cdw10=qid).waitdone()


class IOCQ(_Queue):
    """An I/O completion queue."""

    def __init__(self, ctrlr, qid, qsize, prp1, pc=True, iv=0, ien=False):
        super().__init__(ctrlr, qid, qsize, prp1, CQE_BYTES)
        ctrlr.send_cmd(
            CREATE_CQ,
            prp1,
            cdw10=qid | (qsize - 1) << 16,
            cdw11=pc | ien << 1 | iv << 16,
            cb=self._created(qid),
        ).waitdone()

    def __getitem__(self, index):
        return CQE(self._load(index))

    @property
    def head(self):
        """Its doorbell."""
        return self._ctrlr[DOORBELLS + (2 * self.id + 1) * 4]

    @head.setter
    def head(self, head):
        self._ctrlr[DOORBELLS + (2 * self.id + 1) * 4] = head

    def delete(self, qid=None):
        """Deletes it, or another one."""
        self._delete(DELETE_CQ, qid)


class IOSQ(_Queue):
    """An I/O submission queue, of the completion queue with the same identifier unless another is named."""

    def __init__(self, ctrlr, qid, qsize, prp1, pc=True, cqid=None, qprio=0, nvmsetid=0):
        super().__init__(ctrlr, qid, qsize, prp1, SQE_BYTES)
        assert 0 <= qprio < 4
        cqid = qid if cqid is None else cqid
        self._entries = {}
        ctrlr.send_cmd(
            CREATE_SQ,
            prp1,
            cdw10=qid | (qsize - 1) << 16,
            cdw11=pc | qprio << 1 | cqid << 16,
            cdw12=nvmsetid,
            cb=self._created(qid),
        ).waitdone()

    def __getitem__(self, index):
        return self._entries.get(index % self._qsize)

    def __setitem__(self, index, sqe):
        self._store(index, sqe)
        self._entries[index % self._qsize] = sqe

    @property
    def tail(self):
        """Its doorbell."""
        return self._ctrlr[DOORBELLS + 2 * self.id * 4]

    @tail.setter
    def tail(self, tail):
        self._ctrlr[DOORBELLS + 2 * self.id * 4] = tail

    def delete(self, qid=None):
        """Deletes it, or another one."""
        self._delete(DELETE_SQ, qid)
