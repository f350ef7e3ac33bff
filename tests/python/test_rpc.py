"""What an editor sees through the JSON-RPC socket."""

import json
import os
import signal
import socket
import stat
import subprocess
import sys
import textwrap
import time

import nvme as d
import pytest


@pytest.fixture
def path(tmp_path, monkeypatch):
    """A socket of the test's own, for the processes it starts."""
    path = tmp_path / "nvme.sock"
    monkeypatch.setenv("NVME_RPC_SOCKET", str(path))
    monkeypatch.delenv("SUDO_UID", raising=False)
    monkeypatch.delenv("SUDO_GID", raising=False)
    return path


class Script:
    """A script in an interpreter of its own that goes on line by line: it evaluates what it is sent."""

    def __init__(self, *arguments):
        loop = """
            import sys
            import nvme as d
            for line in sys.stdin:
                exec(line)
                print("done", flush=True)
        """
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(loop), *arguments],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        answer = self.process.stdout.readline()
        assert answer == "done\n", self.process.communicate(timeout=10)[1]

    def end(self):
        """What it said on standard error."""
        return self.process.communicate(timeout=30)[1]


@pytest.fixture
def script(path):
    scripts = []

    def start(*arguments):
        scripts.append(Script(*arguments))
        return scripts[-1]

    yield start
    for one in scripts:
        one.process.kill()
        one.process.communicate()


def connect(path):
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(5)
    client.connect(str(path))
    return client


def call(path, method, params=()):
    """As the extension does it: a connection per call, one chunk per answer."""
    with connect(path) as client:
        request = {"jsonrpc": "2.0", "id": 1, "method": method, "params": list(params)}
        client.sendall(json.dumps(request).encode())
        chunk = client.recv(65536)
    assert chunk.endswith(b"\n") and len(chunk) < 65536
    return json.loads(chunk)


def queues(path):
    return [row["qid"] for row in call(path, "list_all_qpair")["result"]]


def test_the_life_cycle(script, path, pciaddr):
    run = script(pciaddr)
    run("d.srand(1)")
    assert queues(path) == []
    run("pcie = d.Pcie(sys.argv[1]); nvme0 = d.Controller(pcie)")
    assert queues(path) == [1]
    run("q1 = d.Qpair(nvme0, 8); q2 = d.Qpair(nvme0, 8)")
    assert queues(path) == [1, 2, 3]
    run("worker = d.Namespace(nvme0).ioworker(io_size=8, time=60, iops=100).start()")
    assert queues(path) == [1, 2, 3, 4]
    rows = call(path, "list_all_qpair")["result"]
    assert [sorted(row) for row in rows] == [["ctrlr", "model", "outstanding", "qid", "qpair"]] * 4
    assert all(len(row["model"]) == 40 and 0 < row["qpair"] < 1 << 53 for row in rows)
    with connect(path) as client:
        client.sendall(b'{"jsonrpc":"2.0","id":1,"method":"list_all_qpair"}')
        assert len(json.loads(client.recv(4096))["result"]) == 4
    run("worker = None")
    assert queues(path) == [1, 2, 3]
    run("q1.delete()")
    assert queues(path) == [1, 3]
    run("pcie.close()")
    assert queues(path) == []
    run.end()
    assert list(path.parent.iterdir()) == []


def test_traffic_and_the_log(script, path, pciaddr):
    run = script(pciaddr)
    run(
        "pcie = d.Pcie(sys.argv[1]); nvme0 = d.Controller(pcie); ns = d.Namespace(nvme0); q = d.Qpair(nvme0, 8)"
    )
    run("buf = d.Buffer(4096)")
    call(path, "get_iostat")
    run(
        "ns.write(q, buf, 0, 8).waitdone(); ns.read(q, buf, 0, 1).waitdone(); ns.compare(q, buf, 0, 8).waitdone()"
    )
    assert call(path, "get_iostat")["result"] == [4096 + 512, 2]
    run("ns.send_cmd(2, q, buf, cdw12=7).waitdone(); nvme0.getfeatures(7).waitdone()")
    assert call(path, "get_iostat")["result"] == [0, 0]

    handle = call(path, "list_all_qpair")["result"][1]["qpair"]
    texts = call(path, "get_cmdlog", [handle])["result"]
    names = [text.split("[")[1].split("]")[0] for text in texts[::2]]
    expected = ["cmd001: Read", "cmd002: Compare", "cmd003: Read", "cmd004: Write", "cmd005: Fabrics Connect"]
    assert names == expected
    head, *dwords = texts[0].split("\n")
    time.strptime(head[:19], "%Y-%m-%d %H:%M:%S")
    assert len(dwords) == 4 and dwords[3] == "0x00000007, 0x00000000, 0x00000000, 0x00000000"
    head, dwords, rest = texts[1].split("\n")
    assert head[26:] == ": [cpl: SUCCESS] " and dwords.count("0x") == 4 and rest == ""

    run("q.delete()")
    for wrong in ([handle], [0], [], [1, 2], ["x"]):
        assert call(path, "get_cmdlog", wrong)["error"] == {"code": -32602, "message": "Invalid parameters"}
    assert call(path, "reboot")["error"] == {"code": -32601, "message": "Method not found"}


def test_the_wire_byte_for_byte(script, path):
    script()("d.srand(1)")
    with connect(path) as client:
        client.sendall(b'{"jsonrpc":"2.0","id":7,"method":"list_all_qpair","params":[]}')
        assert client.recv(65536) == b'{"jsonrpc":"2.0","id":7,"result":[]}\n'
        client.sendall(b'{"jsonrpc":"2.0","method":"list_all_qpair"}{"jsonrpc":"2.0","id":"a","meth')
        time.sleep(0.05)
        client.sendall(b'od":"get_iostat","params":null}')
        assert client.recv(65536) == b'{"jsonrpc":"2.0","id":"a","result":[0,0]}\n'
        client.sendall(b"oops")
        error = b'{"jsonrpc":"2.0","id":null,"error":{"code":-32700,"message":"Parse error"}}\n'
        assert client.recv(65536) == error
        assert client.recv(65536) == b""


@pytest.mark.parametrize(
    "first",
    ["d.srand(3)", "d.Buffer()", "d.environment()", "try: d.Pcie('no address')\nexcept Exception: pass"],
)
def test_the_first_call_starts_it_and_importing_does_not(script, path, first):
    run = script()
    run("import os")
    assert not path.exists()
    run(f"exec({first!r})")
    assert stat.S_ISSOCK(path.stat().st_mode)
    assert queues(path) == []
    assert "rpc fail" not in run.end()
    assert not path.exists()


def test_only_the_owner_may_connect(script, path, monkeypatch):
    monkeypatch.setenv("SUDO_UID", "65534")
    monkeypatch.setenv("SUDO_GID", "65533")
    run = script()
    run("import os; os.umask(0); d.srand(1)")
    owner = (65534, 65533) if os.geteuid() == 0 else (os.geteuid(), os.getegid())
    for file in (path, path.with_name("nvme.sock.lock")):
        found = file.stat()
        assert stat.S_IMODE(found.st_mode) == 0o600
        assert (found.st_uid, found.st_gid) == owner


def test_a_second_process_warns_once_and_works(script, path):
    first, second = script(), script()
    first("d.srand(1)")
    second("d.srand(1); d.srand(2); d.Buffer()")
    said = [line for line in second.end().splitlines() if "rpc fail to get the sock" in line]
    assert len(said) == 1 and " WARNING " in said[0], said
    # It took nothing along.
    assert queues(path) == []


def test_no_server_where_the_variable_is_empty(script, path, monkeypatch):
    monkeypatch.setenv("NVME_RPC_SOCKET", "")
    run = script()
    run("d.srand(1); d.Buffer()")
    assert "rpc" not in run.end()


def test_what_a_killed_process_left_is_replaced(script, path):
    first = script()
    first("d.srand(1)")
    first.process.kill()
    first.process.wait()
    assert path.exists()
    with pytest.raises(ConnectionRefusedError):
        connect(path)
    second = script()
    second("d.srand(1)")
    assert queues(path) == []
    assert "rpc fail" not in second.end()
    assert list(path.parent.iterdir()) == []


def test_a_fork_leaves_it_alone_and_keeps_nothing_of_it(script, path):
    run = script()
    run("d.srand(1); import os, signal, time")
    # One ends as interpreters do, with its handlers; the other outlives its parent.
    run(r"exec('pid = os.fork()\nif pid == 0: sys.exit()\nos.waitpid(pid, 0)')")
    assert queues(path) == []
    run(r"exec('pid = os.fork()\nif pid == 0:\n time.sleep(60)\n os._exit(0)')")
    run(f"open({str(path.parent / 'pid')!r}, 'w').write(str(pid))")
    child = int((path.parent / "pid").read_text())
    try:
        run.process.kill()
        run.process.wait()
        with pytest.raises(ConnectionRefusedError):
            connect(path)
        follower = script()
        follower("d.srand(1)")
        assert queues(path) == []
    finally:
        os.kill(child, signal.SIGKILL)


def test_without_privileges_there_is_one_warning(run, path):
    code = """
        import os
        import nvme as d
        os.setgroups([])
        os.setgid(65534)
        os.setuid(65534)
        os.environ["NVME_RPC_SOCKET"] = "/proc/nvme.sock"
        d.srand(1)
        d.srand(2)
    """
    if os.geteuid() != 0:
        pytest.skip("changing the user takes root")
    finished = run(code)
    assert finished.returncode == 0, finished.stderr
    assert finished.stderr.count("rpc fail to get the sock") == 1, finished.stderr


def test_many_quick_connections_and_silent_ones(script, path):
    script()("d.srand(1)")
    silent = [connect(path) for _ in range(20)]
    silent[0].sendall(b'{"jsonrpc":"2.0","id":1,"method":')
    begin = time.monotonic()
    for _ in range(500):
        assert queues(path) == []
    assert time.monotonic() - begin < 30
    silent[0].sendall(b'"list_all_qpair"}')
    assert silent[0].recv(65536) == b'{"jsonrpc":"2.0","id":1,"result":[]}\n'
    for client in silent:
        client.close()


def test_log_lines(nvme0, nvme0n1, buf, capfd):
    qpair = d.Qpair(nvme0, 8)
    with pytest.warns(UserWarning, match="ERROR status: 00/01"):
        nvme0.send_cmd(0xFF).waitdone()
    nvme0.cmdlog(1)
    nvme0n1.read(qpair, buf, 11).waitdone()
    qpair.cmdlog()
    lines = [
        line.split(": ", 1)[1] for line in capfd.readouterr().err.splitlines() if "NOTICE cmdlog" in line
    ]
    # What fails is said at once, with the same words as in the log.
    said, lines = lines[:2], lines[2:]
    assert said == [lines[2], lines[4]]
    assert lines[0].startswith("dump ctrlr 127.0.0.1, qpair 0, from ") and lines[0].endswith(", count 1")
    assert lines[1].startswith("index 0, ") and lines[3].startswith("index 0, ")
    assert lines[2].startswith("ADMIN COMMAND (ff) sqid:0 cid:") and lines[2].endswith("cdw11:00000000")
    assert lines[4].startswith("INVALID OPCODE (00/01) sqid:0 cid:")
    assert lines[5] == f"dump ctrlr 127.0.0.1, qpair {qpair.sqid}, from 0 to 2, count 2"
    assert lines[7].startswith(f"READ sqid:{qpair.sqid} cid:") and lines[7].endswith("nsid:1 lba:11 len:1")
    assert lines[9].startswith(f"SUCCESS (00/00) sqid:{qpair.sqid} cid:")
    qpair.delete()
