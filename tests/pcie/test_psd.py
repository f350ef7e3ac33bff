"""scripts/psd.py: queues of a script's own."""

import pathlib
import sys
import time

import nvme as d
import pytest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "scripts"))

from psd import CQE, IOCQ, IOSQ, PRP, SQE, PRPList


@pytest.fixture
def nvme0():
    pcie = d.Pcie("0000:01:00.0")
    yield d.Controller(pcie)
    pcie.close()


def completes(cq, index, phase=1, seconds=5):
    end = time.monotonic() + seconds
    while cq[index].p != phase:
        assert time.monotonic() < end, "no completion"
    return cq[index]


def test_entries():
    sqe = SQE(0x12340002, 7)
    assert (sqe.opc, sqe.cid, sqe.nsid, len(sqe)) == (2, 0x1234, 7, 16)
    sqe.opc, sqe.cid, sqe.nsid = 1, 5, 0xFFFFFFFF
    assert sqe[:2] == [0x00050001, 0xFFFFFFFF] and SQE(*sqe) == sqe
    buf = PRP()
    sqe.prp1 = sqe.prp2 = buf
    assert sqe.prp1 == sqe.prp2 == buf.phys_addr == sqe[6] | sqe[7] << 32
    assert repr(sqe).count("\n") == 3
    with pytest.raises(AssertionError):
        SQE(*range(17))
    cqe = CQE([1, 0, 0x00020003, 0xC3050004])
    assert (cqe.cdw0, cqe.sqhd, cqe.sqid, cqe.cid) == (1, 3, 2, 4)
    assert (cqe.p, cqe.sc, cqe.sct, cqe.crd, cqe.m, cqe.dnr) == (1, 0x82, 1, 0, 1, 1)
    assert cqe.status == 0xC305 >> 1


def test_a_list_of_prps():
    prps, bufs = PRPList(), [PRP() for _ in range(3)]
    for index, buf in enumerate(bufs):
        prps[index] = buf
    assert prps[1] is bufs[1] and prps[3] is None
    assert prps.find_buffer_by_offset(4096 + 5, 0) == (bufs[1], 5)
    for call in (lambda: prps[512], lambda: prps.__setitem__(512, bufs[0])):
        with pytest.raises(AssertionError, match="4K PRP List contains 512 PRP entries only"):
            call()


@pytest.mark.parametrize("pages", [1, 506, 507, 1024])
def test_memory_larger_than_a_transfer(nvme0, pages):
    cq = IOCQ(nvme0, 1, 16, PRP(4096 * pages))
    sq = IOSQ(nvme0, 1, 16, PRP(4096 * pages))
    assert (cq.id, sq.id) == (1, 1)
    sq[0] = SQE(0, 1)
    sq.tail = 1
    assert completes(cq, 0).status == 0
    sq.delete()
    cq.delete()


def test_slots_counted_from_the_end(nvme0):
    cq, sq = IOCQ(nvme0, 1, 4, PRP()), IOSQ(nvme0, 1, 4, PRP())
    sq[0], sq[1], sq[2] = SQE(1 << 16, 1), SQE(2 << 16, 1), SQE(3 << 16, 1)
    sq.tail = 3
    completes(cq, 2)
    cq.head = 3
    sq[-1] = SQE(4 << 16, 1)
    assert sq[3] is sq[-1]
    sq.tail = 0
    assert completes(cq, -1).cid == cq[3].cid == 4
    for call in (lambda: cq[4], lambda: cq[-5]):
        with pytest.raises(AssertionError, match="the queue has 4 entries"):
            call()
    sq.delete()
    cq.delete()


@pytest.mark.parametrize("qsize", [2, 7, 64])
def test_write_and_read_around_the_ring(nvme0, qsize):
    cq, sq = IOCQ(nvme0, 1, qsize, PRP(4096)), IOSQ(nvme0, 1, qsize, PRP(4096))
    assert (cq.id, sq.id) == (1, 1)
    there, back = PRP(ptype=0xBEEF, pvalue=100), PRP()
    phase = 1
    for number in range(3 * qsize):
        slot = number % qsize
        command = SQE((2 if number % 2 else 1) | number << 16, 1)
        command.prp1 = back if number % 2 else there
        command[12] = 7
        sq[slot] = command
        sq.tail = (slot + 1) % qsize
        cqe = completes(cq, slot, phase)
        assert (cqe.status, cqe.cid, cqe.sqid, cqe.sqhd) == (0, number, 1, (slot + 1) % qsize)
        cq.head = (slot + 1) % qsize
        phase ^= slot + 1 == qsize
    assert back[:] == there[:]
    sq.delete()
    cq.delete()


def test_two_submission_queues_of_one_completion_queue(nvme0):
    cq = IOCQ(nvme0, 1, 16, PRP(4096))
    queues = [IOSQ(nvme0, qid, 8, PRP(4096), cqid=1) for qid in (1, 2)]
    data = [PRP(), PRP()]
    for sq, buf in zip(queues, data):
        read = SQE(2, 1)
        read.prp1 = buf
        sq[0] = read
        sq.tail = 1
    seen = {completes(cq, index).sqid for index in range(2)}
    assert seen == {1, 2}
    for sq in queues:
        sq.delete()
    cq.delete()


def test_queues_in_pieces(nvme0):
    """Not contiguous: 128 entries of 64 bytes in two pages behind a list."""
    if nvme0.cap >> 16 & 1:
        pytest.skip("the controller requires contiguous queues (CAP.CQR)")
    pages = PRPList()
    pages[0], pages[1] = PRP(), PRP()
    cq, sq = IOCQ(nvme0, 1, 128, PRP(4096)), IOSQ(nvme0, 1, 128, pages, pc=False)
    buf = PRP()
    for slot in range(100):
        read = SQE(2 | slot << 16, 1)
        read.prp1 = buf
        sq[slot] = read
    sq.tail = 100
    assert [completes(cq, slot).cid for slot in range(100)] == list(range(100))
    sq.delete()
    cq.delete()


@pytest.mark.parametrize(
    "make, status",
    [
        (lambda c: IOSQ(c, 1, 16, PRP(), cqid=5), "01/00"),
        (lambda c: IOCQ(c, 0, 16, PRP()), "01/01"),
        (lambda c: IOCQ(c, 65535, 16, PRP()), "01/01"),
        (lambda c: IOCQ(c, 1, 1, PRP()), "01/02"),
        (lambda c: IOCQ(c, 1, 16, PRP(), iv=9999, ien=True), "01/08"),
    ],
)
def test_what_the_controller_refuses(nvme0, make, status):
    with pytest.warns(UserWarning, match=f"ERROR status: {status}"):
        queue = make(nvme0)
    assert queue.id == 0
    queue.delete()


def test_beside_the_drivers_queues(nvme0):
    qpair = d.Qpair(nvme0, 8)
    with pytest.warns(UserWarning, match="ERROR status: 01/01"):
        IOCQ(nvme0, qpair.sqid, 16, PRP())
    cq = IOCQ(nvme0, 2, 16, PRP())
    with pytest.raises(d.QpairCreationError):
        d.Qpair(nvme0, 8)
    cq.delete()
    d.Namespace(nvme0).read(qpair, d.Buffer(512), 0).waitdone()
