"""The suite nvme.suites.tcp: it tells good targets from bad ones, and outlives both."""

import importlib.util
import os
import pathlib
import signal
import socket
import subprocess
import sys
import threading

import pytest
from nvme.suites.tcp.device import Device, Gone, discover


def suite(tmp_path, *arguments, timeout=200):
    """Run a selection; returns what pytest printed."""
    command = [sys.executable, "-B", "-m", "pytest", "--pyargs", "nvme.suites.tcp", "-p", "no:cacheprovider"]
    options = ["-o", "log_cli=false", "-rA", f"--nvme-capture={tmp_path / 'captures'}", *arguments]
    run = subprocess.run(
        [*command, *options],
        capture_output=True,
        text=True,
        timeout=timeout,
        cwd=tmp_path,
        env={**os.environ, "NVME_RPC_SOCKET": ""},
    )
    return run.stdout + run.stderr


def test_verdicts_on_the_embedded_target(tmp_path):
    chosen = "test_icresp or test_second_icreq or test_maxh2cdata or (test_before_icreq and (PFV or HPDA))"
    said = suite(tmp_path, "-k", chosen)
    assert "PASSED" in said and "test_second_icreq" in said, said
    # SPDK v20.07 reads HPDA 32 as 31, and gives no reason in C2HTermReq.
    assert "the target answered <ICResp" in said, said
    assert "C2HTermReq says FES 0 (reserved), expected 1" in said, said
    assert "not applicable: MAXH2CDATA" in said, said
    # The bytes, and the capture.
    assert "000000  00 00 80 00 80 00 00 00 01 00 00 00" in said, said
    captures = sorted(path.name for path in (tmp_path / "captures").iterdir())
    assert any("HPDA_32" in name for name in captures), captures


def test_a_peer_that_is_no_target_fails_in_time(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def serve():
            while True:
                try:
                    listener.accept()[0].close()
                except OSError:
                    return

        threading.Thread(target=serve, daemon=True).start()
        address = f"127.0.0.1:{listener.getsockname()[1]}"
        said = suite(
            tmp_path, f"--pciaddr={address}", "--nqn=nqn.a", "-k", "test_icresp or test_silent", timeout=100
        )
    assert "no association with" in said and "passed" not in said, said


def test_a_target_that_hangs_is_noticed_and_replaced():
    device = Device("", "")
    try:
        device.begin()
        hung = device._embedded.pid
        os.kill(hung, signal.SIGSTOP)
        assert "is not served any more" in device.check()
        device.begin()
        assert device.check() is None and device._embedded.pid != hung
    finally:
        device.end()


def test_a_target_that_dies_is_noticed_and_replaced():
    device = Device("", "")
    try:
        device.begin()
        assert device.check() is None
        assert device.facts.block == 512 and device.facts.in_capsule >= 512
        os.kill(device._embedded.pid, signal.SIGKILL)
        device._witness.io.receive_until_closed(5)
        assert device.check() == "the target process has died"
        device.begin()
        assert device.check() is None
    finally:
        device.end()


def test_a_target_that_stops_is_noticed(own_target):
    device = Device(own_target.address, own_target.subnqn)
    device.begin()
    os.kill(own_target.pid, signal.SIGSTOP)
    try:
        assert "is not served any more" in device.check()
    finally:
        os.kill(own_target.pid, signal.SIGCONT)
    device.end()


def test_the_subsystem_is_found_by_discovery(own_target):
    assert discover(own_target.address) == own_target.subnqn


def test_without_a_namespace_there_is_nothing_to_test(own_target):
    own_target.rpc("nvmf_subsystem_remove_ns", {"nqn": own_target.subnqn, "nsid": 1})
    device = Device(own_target.address, own_target.subnqn)
    with pytest.raises(Gone, match="no namespace"):
        device.begin()
    device.end()


def test_namespaces_with_metadata_are_left_alone(tmp_path, own_target):
    def rpc(method, **parameters):
        own_target.rpc(method, parameters)

    nqn = own_target.subnqn
    rpc("bdev_null_create", name="meta", num_blocks=2048, block_size=520, md_size=8)
    rpc("nvmf_subsystem_remove_ns", nqn=nqn, nsid=1)
    rpc("nvmf_subsystem_add_ns", nqn=nqn, namespace={"bdev_name": "meta", "nsid": 1})
    device = Device(own_target.address, nqn)
    device.begin()
    assert device.facts.nsid is None and device.check() is None
    device.end()
    said = suite(tmp_path, f"--pciaddr={own_target.address}", "-k", "test_icresp or test_flush or test_reads")
    assert "1 passed, 5 skipped" in said and "all namespaces have metadata" in said, said


def test_namespaces_by_a_command_that_cannot(tmp_path):
    chosen = [
        "-k",
        "test_a_namespace_that_comes",
        "--nvme-namespaces=sh -c 'echo no room for $0 >&2; exit 3'",
    ]
    said = suite(tmp_path, *chosen)
    assert "1 failed" in said or "1 error" in said, said
    assert "ended with status 3: no room for add" in said, said


def test_namespaces_come_and_go_by_a_command(tmp_path, own_target):
    # As its owner would: with a program that knows the target.
    command = tmp_path / "change"
    rpc = f"{sys.executable} -c 'import nvme; print(nvme.__file__)'"
    command.write_text(f"#!/bin/sh\n{rpc} >/dev/null && echo $1 >>{tmp_path}/said\n")
    command.chmod(0o755)
    chosen = ["-k", "test_no_events", f"--pciaddr={own_target.address}", f"--nvme-namespaces={command}"]
    said = suite(tmp_path, *chosen)
    assert "a namespace was added; before, [1] were active, now also []" in said, said
    assert (tmp_path / "said").read_text().split() == ["add", "remove"]


XML = """<testsuites><testsuite time="61.2"><properties><property name="target" value="Disk {n}"/></properties>
<testcase classname="nvme.suites.tcp.test_queues" name="test_flush"><properties>
<property name="section" value="Flush command"/></properties></testcase>
<testcase classname="nvme.suites.tcp.test_queues" name="test_depth[2]"><properties>
<property name="section" value="Depth"/></properties>{depth}</testcase>
<testcase classname="nvme.suites.tcp.test_queues" name="test_depth[3]"><properties>
<property name="section" value="Depth"/></properties>{depth}</testcase>
</testsuite></testsuites>"""


def test_the_page_of_results(tmp_path):
    file = pathlib.Path(__file__).parents[2] / "scripts/tcp-suite/results.py"
    spec = importlib.util.spec_from_file_location("tcp_suite_results", file)
    results = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = results
    spec.loader.exec_module(results)
    outcomes = [
        '<error message="failed on teardown with &quot;Failed: it said &lt;CapsuleResp cqe=00ff&gt; | so&#10;NVMe"/>',
        '<skipped message="not applicable: no depth"/>',
    ]
    runs = []
    for number, depth in enumerate(outcomes):
        xml = tmp_path / f"{number}.xml"
        xml.write_text(XML.format(n=number, depth=depth))
        runs.append(results.read(xml))
    lines = results.page(runs).splitlines()
    assert "1. Disk 0: 3 tests in 61 s" in lines
    assert "| `test_queues` | 1 | 2 | 0 | 1 | 0 | 2 |" in lines
    failed = "it said \\<CapsuleResp cqe=…> \\| so"
    assert f"| `test_depth`: `2`, `3` | Depth | **{failed}** | not applicable |" in lines
    assert not any("test_flush" in line for line in lines)


def test_what_went_over_the_wire_is_not_kept(tmp_path):
    keeper = tmp_path / "keeper.py"
    keeper.write_text(
        "def pytest_sessionfinish(session):\n"
        "    print('keeps', sum(getattr(item, 'target', None) is not None for item in session.items))\n"
    )
    said = suite(tmp_path, "-p", "keeper", "-k", "test_icresp or (test_before_icreq and reason-PFV)")
    assert "1 passed" in said and "3 failed" in said, said
    assert "keeps 0" in said, said
