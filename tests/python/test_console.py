"""The console against a process that really runs, as a user drives it: keys in, the screen out."""

import asyncio
import contextlib
import os
import signal
import subprocess
import sys
import textwrap
import time

import pytest

pytest.importorskip("textual")

from nvme.console.app import Choice, Console

# What is watched goes on line by line: it evaluates what it is sent.
LOOP = """
    import sys, warnings
    import nvme as d
    warnings.simplefilter("ignore")
    nvme0 = d.Controller(d.Pcie(sys.argv[1]))
    ns, q, buf = d.Namespace(nvme0), d.Qpair(nvme0, 16), d.Buffer(4096)
    print("done", flush=True)
    for line in sys.stdin:
        exec(line)
        print("done", flush=True)
"""


class Watched:
    """A test process."""

    def __init__(self, address):
        self.process = subprocess.Popen(
            [sys.executable, "-c", textwrap.dedent(LOOP), address],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        self.pid = self.process.pid
        assert self.process.stdout.readline() == "done\n"

    def __call__(self, line):
        self.process.stdin.write(line + "\n")
        self.process.stdin.flush()
        assert self.process.stdout.readline() == "done\n"

    def end(self):
        self.process.communicate(timeout=30)

    def kill(self):
        self.process.kill()
        self.process.communicate()


@pytest.fixture
def path(tmp_path, monkeypatch):
    """Where the processes of a test serve."""
    path = str(tmp_path / "nvme.sock")
    monkeypatch.setenv("NVME_RPC_SOCKET", path)
    return path


@pytest.fixture
def watched(path, pciaddr):
    """Starts processes that can be watched."""
    processes = []

    def start():
        processes.append(Watched(pciaddr))
        return processes[-1]

    yield start
    for one in processes:
        one.kill()


def drive(path, steps, pid=None):
    """Run the console without a terminal, and steps that drive it."""

    async def run():
        app = Console(path, pid, period=0.2)
        async with app.run_test(size=(160, 40)) as pilot:
            await asyncio.wait_for(steps(Driver(app, pilot)), 60)

    asyncio.run(run())


class Driver:
    """What a user does and sees."""

    def __init__(self, app, pilot):
        self.app, self.press = app, pilot.press

    def screen(self):
        """The lines on the screen."""
        strips = self.app.screen._compositor.render_strips()
        return "\n".join("".join(segment.text for segment in strip).rstrip() for strip in strips)

    async def until(self, true, seconds=15):
        """Wait until something is true."""
        end = time.monotonic() + seconds
        while not (found := true()):
            assert time.monotonic() < end, self.screen()
            await asyncio.sleep(0.05)
        return found

    async def sees(self, *texts):
        """Wait until they stand on the screen."""
        await self.until(lambda: all(text in self.screen() for text in texts))

    async def looks(self, times=2):
        """Wait until the process has answered so many times more."""
        enough = self.app.answers + times
        await self.until(lambda: self.app.answers >= enough)

    def commands(self):
        """The rows of the log."""
        return self.app.command_table.rows

    async def types(self, text):
        """Type into what has the focus."""
        await self.press(*("space" if letter == " " else letter for letter in text))


def test_figures_move_while_a_worker_runs_and_stop_with_it(watched, path):
    process = watched()
    process("worker = ns.ioworker(io_size=8, time=60, iops=2000, qdepth=8).start()")

    async def steps(user):
        await user.sees(f"attached to {process.pid}", "0 admin", "nvme-spdk embedded target")
        queue = await user.until(
            lambda: next((q for q in user.app.counters.queues.values() if q.qid == 2), None)
        )
        await user.until(
            lambda: 1000 < (queue.iops.now or 0) < 4000 and (queue.bandwidth.now or 0) > 1000 * 4096
        )
        before = queue.completed
        await user.looks()
        assert queue.completed > before and queue.depth == 8
        await user.sees("█")
        # Newest first; the worker reads.
        await user.until(lambda: len(user.commands()) > 100)
        sent = [command.submitted for command in user.commands()]
        assert sent == sorted(sent, reverse=True)
        assert "Read: " in user.screen()
        process("worker = None")
        await user.until(lambda: [q.qid for q in user.app.counters.queues.values()] == [0, 1])
        assert user.app.counters.total.completed >= before

    drive(path, steps)


def test_a_chosen_command_shows_its_fields_and_stays(watched, path):
    process = watched()
    process("ns.write(q, buf, 0x1234, 8).waitdone(); ns.read(q, buf, 1 << 40).waitdone()")

    async def steps(user):
        await user.sees("Write: ", "LBA Out of Range")
        assert user.commands()[0].failed and not user.commands()[1].failed
        await user.press("down", "enter")
        await user.sees(
            "Starting LBA", "4660", "Number of Logical Blocks", "8 blocks", "Generic Command Status"
        )
        chosen = user.app.command_table.current.key
        process("[ns.read(q, buf, lba).waitdone() for lba in range(100)]")
        await user.until(lambda: len(user.commands()) > 100)
        assert user.app.command_table.current.key == chosen
        await user.sees("4660")
        await user.press("escape")
        assert user.app.command_table.current == user.commands()[0]

    drive(path, steps)


def test_filters(watched, path):
    process = watched()
    process("[ns.write(q, buf, 8 * n, 8).waitdone() for n in range(5)]; ns.read(q, buf, 20, 8).waitdone()")
    process("ns.read(q, buf, 1 << 40).waitdone(); nvme0.getfeatures(7).waitdone()")

    async def steps(user):
        def opcodes():
            return [command.sqe[0] for command in user.commands()]

        await user.until(lambda: len(user.commands()) > 7)
        everything = len(user.commands())
        await user.press("slash")
        await user.types("write")
        await user.until(lambda: opcodes() == [1] * 5)
        await user.press("tab", "tab")
        await user.types("17-24")
        await user.until(lambda: [command.sqe[40] for command in user.commands()] == [24, 16])
        await user.press("enter", "c")
        await user.until(lambda: len(user.commands()) == everything)
        await user.press("f")
        await user.until(lambda: [command.status for command in user.commands()] == [(0, 0x80)])
        await user.press("f", "slash")
        await user.types("nonsense")
        await user.sees("no command is called")
        assert user.app.inputs["opcode"].has_class("-invalid")
        await user.press("escape", "c")
        await user.until(lambda: len(user.commands()) == everything)
        # The admin queue by its row.
        user.app.queue_table.focus()
        await user.press("home", "enter")
        await user.until(lambda: {command.qid for command in user.commands()} == {0})
        assert 0x0A in opcodes()

    drive(path, steps)


def test_a_failure_is_seen_however_fast_its_queue_is(watched, path):
    process = watched()

    async def steps(user):
        await user.sees("0 admin")
        process("ns.read(q, buf, 1 << 40).waitdone()")
        process("[ns.read(q, buf, 0).waitdone() for _ in range(5000)]")
        await user.press("f")
        await user.until(lambda: [command.status for command in user.commands()] == [(0, 0x80)])

    drive(path, steps)


def test_a_worker_at_full_speed(watched, path):
    process = watched()
    process("worker = ns.ioworker(io_size=8, time=60, qdepth=32).start()")

    async def steps(user):
        await user.until(lambda: (user.app.counters.total.iops.now or 0) > 1_000)
        await user.sees("more since the last look")
        # Nobody could read along, so that the log moves less often than the figures. A filter takes effect at once.
        process("ns.read(q, buf, 1 << 40).waitdone()")
        await user.press("f")
        await user.until(lambda: [command.status for command in user.commands()] == [(0, 0x80)])
        before = user.app.counters.total.completed
        await user.looks(6)
        assert user.app.counters.total.completed > before
        assert [command.status for command in user.commands()] == [(0, 0x80)]

    drive(path, steps)


def test_a_command_in_flight_is_followed_to_its_end(watched, path):
    process = watched()

    async def steps(user):
        await user.sees("0 admin")
        # Nobody polls, so it stays outstanding.
        process("ns.read(q, buf, 77)")
        await user.until(lambda: any(c.sqe[40] == 77 and c.cqe is None for c in user.commands()))
        await user.sees("in flight")
        await user.looks()
        await user.press("home", "enter")
        process("q.waitdone()")
        await user.until(lambda: any(c.sqe[40] == 77 and c.status == (0, 0) for c in user.commands()))
        await user.sees("Generic Command Status")

    drive(path, steps)


def test_attach_detach_and_hold(watched, path):
    process = watched()

    async def steps(user):
        await user.sees(f"attached to {process.pid}")
        await user.looks()
        await user.press("d")
        await user.sees(f"detached from {process.pid}")
        # The connection is closed: the process has nobody to answer.
        answers = user.app.answers
        await asyncio.sleep(0.6)
        assert user.app.answers == answers
        await user.press("a")
        await user.sees(f"attached to {process.pid}")
        await user.press("space")
        await user.sees("held")
        held = len(user.commands())
        process("[ns.read(q, buf, 0).waitdone() for _ in range(50)]")
        await user.until(lambda: user.app.counters.total.completed > 50)
        assert len(user.commands()) == held
        await user.press("space")
        await user.until(lambda: len(user.commands()) >= held + 50)

    drive(path, steps)


def test_it_waits_for_a_process_and_for_the_next_one(watched, path):
    async def steps(user):
        await user.sees(f"waiting: no test process serves at {path}")
        first = watched()
        await user.sees(f"attached to {first.pid}")
        await user.looks()
        first.end()
        await user.sees(f"process {first.pid}: it has ended")
        second = watched()
        await user.sees(f"attached to {second.pid}")
        second.kill()
        await user.sees(f"process {second.pid}: it has ended")
        await user.press("q")

    drive(path, steps)


def test_of_several_one_is_chosen(watched, path):
    first, second = watched(), watched()

    async def steps(user):
        await user.until(lambda: isinstance(user.app.screen, Choice))
        await user.sees(str(first.pid), str(second.pid))
        await user.press("down", "enter")
        await user.until(lambda: user.app.process is not None)
        chosen = user.app.process.pid
        await user.sees(f"attached to {chosen}")
        await user.looks()
        await user.press("a")
        await user.until(lambda: isinstance(user.app.screen, Choice))
        await user.press("escape")
        await user.looks()
        assert user.app.process.pid == chosen

    drive(path, steps)

    async def the_second(user):
        await user.sees(f"attached to {second.pid}")
        await user.looks()

    drive(path, the_second, pid=second.pid)


def test_a_process_that_is_stopped_is_waited_for(watched, path):
    process = watched()

    async def steps(user):
        await user.looks()
        os.kill(process.pid, signal.SIGSTOP)
        try:
            await user.sees("is it stopped?")
        finally:
            os.kill(process.pid, signal.SIGCONT)
        await user.looks()
        await user.sees(f"attached to {process.pid}")

    drive(path, steps)


def test_the_target_ends_while_somebody_watches(watched, path, own_target):
    process = Watched(own_target.address)
    try:

        async def steps(user):
            await user.looks()
            own_target.stop()
            with contextlib.suppress(AssertionError):
                process("ns.read(q, buf, 0).waitdone()")
            await user.looks()

        drive(path, steps)
    finally:
        process.kill()


def test_the_command_line():
    said = subprocess.run(
        [sys.executable, "-m", "nvme", "console", "--help"], capture_output=True, text=True, timeout=30
    )
    assert said.returncode == 0 and "--pid" in said.stdout and "--socket" in said.stdout
