"""Linux's own NVMe/TCP target, nvmet, on the lab's loopback: a target that is not SPDK's."""

import pathlib
import subprocess
import sys
import time

import nvme as d
import pytest

NVMET = pathlib.Path(__file__).parents[2] / "scripts/nvmet"
HOST, PORT, REFERRING = "127.0.0.1", 4420, 8009
# Of a file on a tmpfs.
BLOCK = 4096
NQN = "nqn.2026-01.org.nvme-spdk:linux{}"

pytestmark = pytest.mark.skipif(not pathlib.Path("/run/lab").exists(), reason="needs the lab: make test-pcie")


def nvmet(*arguments):
    subprocess.run([sys.executable, "-B", NVMET, *arguments], check=True, timeout=60)


@pytest.fixture
def linux():
    nvmet("start")
    yield
    nvmet("stop")


@pytest.fixture
def connect(linux):
    opened = []

    def connect(number=1, **options):
        opened.append(d.Tcp(HOST, PORT, nqn=NQN.format(number), **options))
        return d.Controller(opened[-1])

    yield connect
    for pcie in opened:
        pcie.close()


def round_trip(nvme0, nsid=1):
    """What is written is read, in capsules and on request."""
    namespace = d.Namespace(nvme0, nsid)
    namespace.verify_enable()
    qpair = d.Qpair(nvme0, 16)
    for blocks in (1, 4, 5, 64, 256):
        written, read = d.Buffer(blocks * BLOCK, pvalue=blocks), d.Buffer(blocks * BLOCK)
        namespace.write(qpair, written, 0, blocks).waitdone()
        namespace.read(qpair, read, 0, blocks).waitdone()
        assert read[:] == written[:]
    qpair.delete()
    namespace.close()


def test_referrals_are_followed(linux):
    found = {(entry.kind, entry.subnqn, entry.trsvcid) for entry in d.discover(HOST, REFERRING)}
    assert ("nvme", NQN.format(1), "4420") in found and ("nvme", NQN.format(2), "8009") in found
    assert any(kind == "referral" for kind, _, _ in found)
    alone = {entry.subnqn for entry in d.discover(HOST, REFERRING, referrals=False)}
    assert NQN.format(2) in alone and NQN.format(1) not in alone


def test_subsystems_and_namespaces(connect):
    first, second = connect(1), connect(2)
    assert first.id_data(23, 4, str).startswith("LINUX0001")
    assert second.id_data(23, 4, str).startswith("LINUX0002")
    for nvme0, nsid in ((first, 1), (first, 2), (second, 1)):
        round_trip(nvme0, nsid)


@pytest.mark.parametrize("digests", [{"hdgst": True}, {"ddgst": True}, {"hdgst": True, "ddgst": True}])
def test_digests(connect, digests):
    round_trip(connect(**digests))


def test_keep_alive_outlives_silence(connect):
    nvme0 = connect(kato=2, queues=2)
    # nvmet gives a host up one and a half times its timeout after the last command.
    time.sleep(6)
    round_trip(nvme0)


def test_verified_load_survives_a_reset(connect):
    nvme0 = connect()
    namespace = d.Namespace(nvme0, 1, 4096)
    namespace.verify_enable()
    for _ in range(2):
        workers = [
            namespace.ioworker(
                io_size=4, read_percentage=50, qdepth=8, time=1, region_start=at, region_end=at + 1024
            ).start()
            for at in range(0, 4096, 1024)
        ]
        results = [worker.close() for worker in workers]
        assert all(result.error == 0 and result.io_count_read > 0 for result in results)
        nvme0.reset()


def test_a_target_that_is_taken_away_and_comes_back(connect):
    nvme0 = connect(reconnect=20)
    namespace = d.Namespace(nvme0, 1)
    worker = namespace.ioworker(io_size=1, qdepth=8, time=60).start()
    time.sleep(0.5)
    nvmet("stop")
    begin = time.monotonic()
    with pytest.warns(UserWarning, match="ioworker host ERROR -7: sudden terminated"):
        worker.close()
    assert time.monotonic() - begin < 20
    nvmet("start")
    nvme0.reset()
    round_trip(nvme0)
