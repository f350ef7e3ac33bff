"""Memory pages larger than 4 KiB: CC.MPS up to what the controller has (CAP.MPSMAX)."""

import nvme as d
import pytest
from initialisation import CC_USUAL, initialise

ASQ, ACQ = 0x28, 0x30
BLOCK = 512
CREATE_SQ, CREATE_CQ = 1, 5


@pytest.fixture(params=[0, 1, 2, 3, 4], ids=lambda mps: f"{4 << mps}K")
def nvme0(request):
    pcie = d.Pcie("0000:01:00.0")
    nvme0 = d.Controller(pcie, lambda nvme0: initialise(nvme0, CC_USUAL | request.param << 7))
    assert nvme0.cap >> 52 & 0xF >= request.param
    yield nvme0
    pcie.close()


def page_of(nvme0):
    return 4096 << (nvme0[0x14] >> 7 & 0xF)


def test_data_of_every_shape(nvme0):
    qpair, namespace = d.Qpair(nvme0, 16), d.Namespace(nvme0)
    page = page_of(nvme0)
    size = 512 << 10
    there, back = d.Buffer(size + 2 * page, ptype=0xBEEF, pvalue=100), d.Buffer(size + 2 * page)
    for offset in (0, 4, 4096, page - 4, page + 512):
        for length in (BLOCK, 4096, page, page + BLOCK, 2 * page, 3 * page - BLOCK, size):
            # Read to another place than written from: what is cut in the wrong place comes back in the wrong place.
            there.offset, back.offset = offset, (offset + 1024) % page
            namespace.write(qpair, there, 64, length // BLOCK).waitdone()
            namespace.read(qpair, back, 64, length // BLOCK).waitdone()
            assert back[back.offset : back.offset + length] == there[offset : offset + length]


def test_queues_begin_with_a_page(nvme0):
    page = page_of(nvme0)
    most = 4096 << (nvme0.cap >> 52 & 0xF)
    assert nvme0[ASQ] % most == 0 and nvme0[ACQ] % most == 0 and nvme0[ASQ] != nvme0[ACQ]
    namespace, buf = d.Namespace(nvme0), d.Buffer(4096)
    for depth in (2, 65, 1024):
        qpair = d.Qpair(nvme0, depth)
        created = [entry["sqe"] for entry in nvme0.cmdlog_entries(2)]
        assert {sqe[0] & 0xFF for sqe in created} == {CREATE_SQ, CREATE_CQ}
        assert all((sqe[6] | sqe[7] << 32) % page == 0 for sqe in created)
        # More than once around the ring.
        for _ in range(3):
            for lba in range(depth - 1):
                namespace.read(qpair, buf, lba)
            qpair.waitdone(depth - 1)
        qpair.delete()


def test_they_stay_after_a_reset(nvme0):
    page = page_of(nvme0)
    nvme0.reset()
    assert page_of(nvme0) == page
    test_data_of_every_shape(nvme0)
