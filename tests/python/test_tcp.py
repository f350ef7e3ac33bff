"""NVMe/TCP from Python: Tcp's options, discovery, targets that come back."""

import socket

import nvme as d
import pytest
from conftest import eventually


@pytest.fixture(scope="module")
def target():
    with d.Target(megabytes=16) as target:
        yield target


def opcodes(nvme0):
    return [entry["sqe"][0] & 0xFF for entry in nvme0.cmdlog_entries(100)]


def test_the_options_of_a_connection(target):
    pcie = d.Tcp(target.address, hdgst=True, ddgst=True, queues=3, hostnqn="nqn.2014-08.org.example:host")
    nvme0 = d.Controller(pcie)
    qpairs = [d.Qpair(nvme0, 8) for _ in range(3)]
    with pytest.raises(d.QpairCreationError):
        d.Qpair(nvme0, 8)
    buf = d.Buffer(4096, pvalue=0x5A)
    d.Namespace(nvme0).write(qpairs[0], buf, 0, 8).waitdone()
    pcie.close()


def test_keep_alive_goes_on_while_a_script_sleeps(target):
    pcie = d.Tcp(target.address, kato=0.3)
    nvme0 = d.Controller(pcie)
    before = opcodes(nvme0).count(0x18)
    eventually(lambda: opcodes(nvme0).count(0x18) - before >= 4, seconds=10)
    nvme0.reset()
    assert nvme0[0x1C] & 1
    pcie.close()


@pytest.mark.parametrize("name", ["timeout", "kato", "reconnect"])
@pytest.mark.parametrize("value", [-1, float("nan"), float("inf")])
def test_seconds_that_are_none(target, name, value):
    with pytest.raises(AssertionError, match=f"{name} is a number of seconds"):
        d.Tcp(target.address, **{name: value})


@pytest.mark.parametrize(
    "options", [{"tos": 256}, {"tos": -1}, {"queues": 1 << 16}, {"nqn": ""}, {"hostnqn": "x" * 224}]
)
def test_options_out_of_range(target, options):
    with pytest.raises((OverflowError, ValueError, d.NvmeEnumerateError)):
        d.Tcp(target.address, **options)


def test_type_of_service(target):
    pcie = d.Tcp(target.address, tos=0xB8)
    d.Qpair(d.Controller(pcie), 4)
    pcie.close()


def test_discovery(target):
    (entry,) = d.discover(target.address)
    assert (entry.kind, entry.trtype, entry.adrfam) == ("nvme", 3, 1)
    assert (entry.subnqn, entry.service) == (target.subnqn, target.address)
    assert f"{entry.traddr}:{entry.trsvcid}" == target.address
    assert repr(entry) == f"<nvme {target.subnqn} at {target.address}>"
    assert [found.subnqn for found in d.discover(target.address, referrals=False)] == [target.subnqn]
    host, port = target.address.split(":")
    assert d.discover(host, int(port))[0].subnqn == target.subnqn
    pcie = d.Tcp(entry.traddr, int(entry.trsvcid), nqn=entry.subnqn)
    pcie.close()


def test_discovery_where_nobody_is():
    with pytest.raises(d.NvmeEnumerateError, match="nothing listens on that port"):
        d.discover("127.0.0.1", 1, timeout=3)
    with pytest.raises(d.NvmeEnumerateError, match="PCI function"):
        d.discover("01:00.0")


def test_host_names(target):
    pcie = d.Tcp(target.address.replace("127.0.0.1", "localhost"))
    assert d.Controller(pcie).id_data(63, 24, str).startswith("nvme-spdk")
    pcie.close()
    with pytest.raises(d.NvmeEnumerateError, match="no-such-host"):
        d.Tcp("no-such-host.invalid", timeout=3)


def has_ipv6():
    try:
        socket.create_server(("::1", 0), family=socket.AF_INET6).close()
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_ipv6():
    with d.Target(megabytes=16, listen="::1") as target:
        port = int(target.address.rsplit(":", 1)[1])
        assert target.address == f"[::1]:{port}"
        for address in (target.address, "::1", "[::1]"):
            pcie = d.Tcp(address, port)
            assert d.Controller(pcie).id_data(63, 24, str).startswith("nvme-spdk")
            pcie.close()
    with pytest.raises(ValueError, match="listen is an IP address"):
        d.Target(listen="somewhere")


def test_reconnect_and_data_that_survives_the_target(tmp_path):
    target = d.Target(megabytes=16, folder=tmp_path)
    address = target.address
    port = int(address.rsplit(":", 1)[1])
    pcie = d.Tcp(address, reconnect=20)
    nvme0 = d.Controller(pcie)
    nvme0n1 = d.Namespace(nvme0)
    nvme0n1.verify_enable()
    qpair = d.Qpair(nvme0, 8)
    buf = d.Buffer(4096, ptype=0xBEEF, pvalue=100)
    nvme0n1.write(qpair, buf, 8, 8).waitdone()
    written = bytes(buf[:])
    target.stop()

    # Meanwhile there is an error, and a hint.
    impatient = pytest.raises(d.NvmeEnumerateError, match="start the target")
    with impatient:
        d.Tcp(address, timeout=2)
    target = d.Target(port=port, megabytes=16, folder=tmp_path)
    nvme0.reset()
    qpair = d.Qpair(nvme0, 8)
    buf = d.Buffer(4096)
    nvme0n1.read(qpair, buf, 8, 8).waitdone()
    assert bytes(buf[:]) == written
    assert (tmp_path / "ns1").stat().st_size >= 16 << 20
    pcie.close()
    target.stop()
