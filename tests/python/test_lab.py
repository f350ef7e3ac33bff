"""The lab: one command in a guest, its output and status, and nothing left of it afterwards."""

import importlib.util
import json
import os
import pathlib
import signal
import subprocess
import sys
import time
import uuid

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
LAB = ROOT / "scripts" / "lab"
KEPT = ROOT / "target" / "lab"
BOOT = 180  # seconds; a boot takes less than ten where nobody else needs the processors

# The guest tells what it sees as JSON, waits to show that output comes at once, and ends with what does not exist.
COMMAND = """
    echo first; sleep 3; echo second
    echo written in the guest >"$MARK"
    cat >/usr/lab-test && echo the root can be changed
    python3 -c '
import glob, json, os
read = lambda path: open(path).read().strip()
print(json.dumps({
    "folder": os.getcwd(),
    "controllers": {
        path.split("/")[-2]: os.path.basename(os.path.realpath(os.path.dirname(path) + "/driver"))
        for path in glob.glob("/sys/bus/pci/devices/*/class") if read(path) == "0x010802"
    },
    "hugepages": [line.split()[1] for line in open("/proc/meminfo") if line.startswith("HugePages_Free")],
    "sleep": read("/sys/power/mem_sleep"),
    "mounts": [line.split()[1] for line in open("/proc/mounts") if line.split()[2] == "hugetlbfs"],
}))'
    no-such-command
"""


@pytest.fixture(scope="module", autouse=True)
def set_up():
    """What the lab is made of is fetched once; a machine it has no packages for has no lab."""
    done = subprocess.run([LAB / "setup"], capture_output=True, text=True, timeout=900)
    if "knows no packages for this machine" in done.stderr:
        pytest.skip(done.stderr.strip())
    assert done.returncode == 0, done.stderr


def described():
    spec = importlib.util.spec_from_file_location("lab_controllers", LAB / "controllers.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def start(command, *options, **environment):
    return subprocess.Popen(
        [sys.executable, "-B", LAB, *options, command],
        cwd=ROOT / "tests",
        env={**os.environ, **environment},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def processes_with(mark):
    """The processes that have this text in their environment."""
    found = []
    for environ in pathlib.Path("/proc").glob("[0-9]*/environ"):
        try:
            if mark.encode() in environ.read_bytes():
                found.append(environ.parent.name)
        except OSError:
            continue
    return found


def machine():
    """What a run must leave as it was."""
    files = sorted(str(path) for path in KEPT.rglob("*"))
    state = [pathlib.Path(path).read_text() for path in ("/proc/mounts", "/proc/sys/vm/nr_hugepages")]
    return files, state, os.path.exists("/usr/lab-test")


@pytest.fixture
def mark():
    """A text that finds the processes of a test; none of them may be left, and nothing else either."""
    before = machine()
    text = uuid.uuid4().hex
    yield text
    assert processes_with(text) == []
    assert machine() == before


def test_a_command_runs_in_the_guest(mark):
    written = ROOT / "target" / f"lab-test-{mark}"
    command = COMMAND.replace("$MARK", str(written))
    started = start(command, "--timeout", str(BOOT), LAB_TEST=mark)
    times = {}
    lines = []
    for line in started.stdout:
        times[line.strip()] = time.monotonic()
        lines.append(line)
    said = started.stderr.read()
    assert started.wait() == 127, said
    try:
        assert written.read_text() == "written in the guest\n"
    finally:
        written.unlink()

    assert times["second"] - times["first"] > 2, "the output came all at once"
    assert "the root can be changed" in times
    assert "no-such-command: command not found" in lines[-1]
    (facts,) = (json.loads(line) for line in lines if line.startswith("{"))
    assert facts["folder"] == str(ROOT / "tests")
    assert facts["controllers"] == {one.address: "uio_pci_generic" for one in described().read()}
    assert int(facts["hugepages"][0]) >= 64
    assert facts["mounts"] == ["/dev/hugepages"]
    assert facts["sleep"] == "[s2idle]"


def test_the_time_limit_ends_the_guest(mark):
    started = start("sleep 100", "--timeout", "3", LAB_TEST=mark)
    _, said = started.communicate(timeout=BOOT)
    assert started.returncode == 124
    assert "did not end within 3 s" in said and "what to do: " in said


@pytest.mark.parametrize(
    "number, status", [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGKILL, -9)]
)
def test_a_signal_ends_the_guest(mark, number, status):
    started = start("sleep 100", LAB_TEST=mark)
    deadline = time.monotonic() + BOOT
    while len(processes_with(mark)) < 2:
        assert time.monotonic() < deadline and started.poll() is None, "QEMU did not start"
        time.sleep(0.1)
    time.sleep(0.5)
    started.send_signal(number)
    _, said = started.communicate(timeout=10)
    assert started.returncode == status, said
    deadline = time.monotonic() + 5  # the kernel ends QEMU for one that is killed, and needs a moment
    while processes_with(mark) and time.monotonic() < deadline:
        time.sleep(0.05)


def test_a_guest_that_dies_is_an_error(mark):
    started = start(
        "echo alive; sync; busybox=/run/lab/bin/busybox; $busybox reboot -f",
        "--timeout",
        str(BOOT),
        LAB_TEST=mark,
    )
    out, said = started.communicate(timeout=BOOT)
    assert started.returncode == 125
    assert "alive" in out
    assert "the guest ended before the command did" in said and "what to do: " in said


def test_an_empty_command_is_refused():
    started = start(" ")
    _, said = started.communicate(timeout=10)
    assert started.returncode == 2 and "CMD=" in said


def test_a_description_is_read(tmp_path):
    text = "[one]\nmdts = 5\ndbcs = on\n[two]\nnamespace 7 = size=64M logical_block_size=4096 zoned=on\n"
    path = tmp_path / "controllers.ini"
    path.write_text(text)
    one, two = described().read(path)
    assert (one.address, one.serial) == ("0000:01:00.0", "LAB-ONE")
    assert one.device["mdts"] == 5 and one.device["dbcs"] is True
    assert two.address == "0000:02:00.0" and two.device["dbcs"] is False
    (namespace,) = two.namespaces
    assert (namespace.nsid, namespace.size) == (7, 64 << 20)
    assert namespace.options == {"logical_block_size": 4096, "physical_block_size": 4096, "zoned": True}
