"""Namespaces whose blocks have metadata: lengths are computed without, so what would transfer it is refused."""

import nvme as d
import pytest


@pytest.fixture
def nvme0(described):
    pcie = d.Pcie(described["formats"].address)
    yield d.Controller(pcie)
    pcie.close()


@pytest.mark.parametrize("nsid, size", [(3, 8), (4, 64)])
def test_reads_writes_and_workers_are_refused(nvme0, nsid, size):
    namespace, qpair, buffer = d.Namespace(nvme0, nsid), d.Qpair(nvme0, 4), d.Buffer(8192)
    refused = f"{size} bytes of metadata, which reads, writes and workers do not move"
    with pytest.raises(NotImplementedError, match=refused):
        namespace.read(qpair, buffer, 0)
    with pytest.raises(NotImplementedError, match=refused):
        namespace.write(qpair, buffer, 0)
    with pytest.warns(UserWarning, match="ioworker host ERROR -1"):
        namespace.ioworker(io_size=1, time=1).start().close()
    qpair.delete()
    namespace.close()


def test_a_command_of_ones_own_is_sent(nvme0):
    # Its blocks are extended: 520 bytes each.
    namespace, qpair, buffer = d.Namespace(nvme0, 3), d.Qpair(nvme0, 4), d.Buffer(4096)
    namespace.send_cmd(2, qpair, buffer, 3).waitdone()
    qpair.delete()
    namespace.close()


def test_beside_it_all_works(nvme0):
    namespace, qpair, buffer = d.Namespace(nvme0, 1), d.Qpair(nvme0, 4), d.Buffer(4096)
    namespace.write(qpair, buffer, 0, 8).waitdone()
    namespace.read(qpair, buffer, 0, 8).waitdone()
    qpair.delete()
    namespace.close()
