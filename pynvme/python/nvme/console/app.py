"""The terminal view: queues above, the command log below, the chosen command beside it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import time
import typing
from datetime import datetime

from rich.style import Style
from rich.text import Text
from textual.app import App
from textual.binding import Binding
from textual.containers import Horizontal, VerticalScroll
from textual.screen import ModalScreen
from textual.widgets import Footer, Input, Label, OptionList, Static
from textual.widgets.option_list import Option
from textual.worker import Worker

from . import fields
from .client import Client, Ended
from .commands import Command, CommandLog, Filter, FilterError
from .counters import Counters, Queue
from .processes import Found, Process, find
from .table import Table

# Seconds between two looks.
PERIOD = 1.0

# Where so many commands pass by unseen between two looks, nobody reads along: then the log is looked at only every
# third time, which leaves more of scarce cores to the test.
CROWD = 10_000
REST = 2

SPARK = 20
QUEUE_COLUMNS = (
    ("queue", 7),
    ("in flight", -9),
    ("depth", -6),
    ("IOPS", -9),
    ("last minute", SPARK),
    ("MiB/s", -9),
    ("last minute", SPARK),
    ("completed", -13),
    ("failed", -9),
    ("controller", 0),
)
LOG_COLUMNS = (("sent", 15), ("queue", 5), ("us", -10), ("status", 24), ("command", 0))

# What can be filtered by, and what to write there.
FILTERS = {"queue": "all", "opcode": "read, 0x02", "status": "failed, 02/81", "lba": "0-4095"}

FAILED = Style(color="red", bold=True)
IN_FLIGHT = Style(color="yellow")


class Choice(ModalScreen):
    """Which of several processes?"""

    BINDINGS: typing.ClassVar = [Binding("escape", "dismiss(None)", "Back")]
    DEFAULT_CSS = """
    Choice { align: center middle; }
    Choice OptionList { width: 80%; height: auto; max-height: 60%; border: round $primary; }
    """

    def __init__(self, processes: list[Process]):
        super().__init__()
        self._processes = processes

    def compose(self):
        """A list."""
        rows = [Option(Text(f"{one.pid}  {one.command}"), id=str(one.pid)) for one in self._processes]
        choice = OptionList(*rows)
        choice.border_title = "which process?"
        yield choice
        yield Footer()

    def on_option_list_option_selected(self, event) -> None:
        """This one."""
        self.dismiss(self._processes[event.option_index])


class Console(App):
    """Watches one process at a time; attaching and detaching is a connection to a socket and its end."""

    TITLE = "nvme console"
    ENABLE_COMMAND_PALETTE = False
    CSS = """
    #state { height: 1; background: $primary 30%; padding: 0 1; text-style: bold; }
    #queues { height: auto; max-height: 40%; min-height: 3; }
    #filters { height: 1; background: $panel; }
    #filters Label { padding: 0 1; text-style: dim; }
    #filters Input { width: 16; border: none; height: 1; padding: 0 1; }
    #filters Input.-invalid { background: $error 40%; }
    #note { width: 1fr; padding: 0 1; text-style: dim; }
    #commands { width: 3fr; }
    #details { width: 2fr; border-left: solid $primary; padding: 0 1; }
    """
    BINDINGS: typing.ClassVar = [
        Binding("q", "quit", "Quit"),
        Binding("a", "attach", "Attach"),
        Binding("d", "detach", "Detach"),
        Binding("slash", "filter", "Filter"),
        Binding("c", "clear", "Clear filter"),
        Binding("f", "failed", "Failed only"),
        Binding("space", "pause", "Hold the log"),
        Binding("escape", "top", "Newest", show=False),
    ]

    def __init__(self, path: str, pid: int | None = None, period: float = PERIOD):
        """Processes that serve at the path or beside it; with a number only that one."""
        super().__init__()
        self._path, self._pid, self._period = path, pid, period
        self.process: Process | None = None
        self.counters, self.log_of_commands = Counters(), CommandLog()
        # How often the process has answered.
        self.answers = 0
        self._watcher: Worker | None = None
        # How often the log is not looked at from now on.
        self._rest = 0
        # Set when there is no point in waiting for the next second.
        self._hurry = asyncio.Event()
        self._holding = False
        self._chosen: Command | None = None
        # What is wrong with a filter.
        self._wrong: str | None = None
        self._asked_at: float | None = None
        self._silent = False

        self.state = Static(id="state", markup=False)
        self.queue_table = Table(QUEUE_COLUMNS, self._queue_row, id="queues")
        self.inputs = {name: Input(placeholder=hint, id=name, compact=True) for name, hint in FILTERS.items()}
        self.note = Label(id="note", markup=False)
        self.command_table = Table(LOG_COLUMNS, self._command_row, id="commands")
        self.fields = Static("Enter on a command shows its fields.", id="fields", markup=False)

    def compose(self):
        """From top to bottom."""
        yield self.state
        yield self.queue_table
        with Horizontal(id="filters"):
            for name, widget in self.inputs.items():
                yield Label(name)
                yield widget
            yield self.note
        with Horizontal():
            yield self.command_table
            with VerticalScroll(id="details", can_focus=True):
                yield self.fields
        yield Footer()

    def on_mount(self) -> None:
        """Look for a process."""
        self.command_table.focus()
        self.set_interval(1, self._notice_silence)
        self.watch_one(None)

    # Attaching and detaching.

    def watch_one(self, process: Process | None) -> None:
        """Attach to a process, or to the one there is as soon as there is one."""
        self.detach()
        self._watcher = self.run_worker(self._watch(process))

    def detach(self) -> None:
        """Leave the process alone."""
        if self._watcher is not None:
            self._watcher.cancel()
            self._watcher = None
        self.process = None

    async def _watch(self, process: Process | None):
        """One process after the other, until somebody detaches."""
        process = process or await self._next_process()
        while process is not None:
            why = await self._follow(process)
            self.process = None
            self._say(f"process {process.pid}: {why}; the next one is attached to when it comes")
            await asyncio.sleep(self._period)
            process = await self._next_process()

    async def _next_process(self) -> Process | None:
        """The one there is. With several, somebody has to choose."""
        while True:
            found = find(self._path)
            mine = [one for one in found.processes if self._pid in (None, one.pid)]
            if len(mine) == 1:
                return mine[0]
            if mine:
                self._say(f"{len(mine)} processes: choose one (a)")
                self._choose(mine)
                return None
            if self.answers == 0:
                self._say(self._nobody(found))
            await asyncio.sleep(self._period)

    def _nobody(self, found: Found) -> str:
        who = "no test process" if self._pid is None else f"no process {self._pid}"
        denied = f" (no access to {', '.join(found.denied)}: run as its owner)" if found.denied else ""
        return f"waiting: {who} serves at {self._path}{denied}"

    def _choose(self, processes: list[Process]) -> None:
        def chosen(process):
            if process is not None:
                self.watch_one(process)

        self.push_screen(Choice(processes), chosen)

    async def _follow(self, process: Process) -> str:
        """Watch a process to its end; says how that came."""
        try:
            client = await Client.connect(process.path)
        except Ended as why:
            return str(why)
        try:
            self._begin(process)
            while True:
                begin = time.monotonic()
                await self._look(client)
                await self._pause(begin + self._period - time.monotonic())
        except Ended as why:
            return str(why)
        finally:
            self._asked_at = None
            client.close()

    def _begin(self, process: Process):
        self.process = process
        self.counters, self._chosen = Counters(), None
        self.log_of_commands.clear()
        self._rest = 0
        self.command_table.forget()
        self._say(f"attached to {process.pid}: {process.command}")

    async def _look(self, client: Client):
        """One look: a single exchange, whatever there is to see."""
        log, counters = self.log_of_commands, self.counters
        question, asked = log.question(counters.queues.values())
        questions = [("nvme_queues", None), ("nvme_cmdlog_since", question)]
        resting = self._rest > 0
        looked_at_log = bool(asked) and not self._holding and not resting
        filtered = log.filter
        self._asked_at = time.monotonic()
        answers = await client.ask(*(questions if looked_at_log else questions[:1]))
        self._asked_at = None
        known = counters.queues.keys()
        counters.absorb(answers[0])
        if looked_at_log and log.filter is filtered:
            log.absorb(answers[1], asked)
            self._rest = REST if log.unseen > CROWD else 0
        elif resting:
            self._rest -= 1
        if counters.queues.keys() - known:
            # What they have done so far.
            self._hurry.set()
        self.answers += 1
        self._show_queues()
        if not resting:
            self._show_commands()

    async def _pause(self, seconds: float):
        with contextlib.suppress(asyncio.TimeoutError):
            await asyncio.wait_for(self._hurry.wait(), max(seconds, 0.05))
        self._hurry.clear()

    # What is on the screen.

    def _say(self, text: str) -> None:
        # Its place stays as it is: no need to lay out the screen anew, here and below.
        self.state.update(text, layout=False)

    def _notice_silence(self) -> None:
        if self.process is not None and self._asked_at is not None:
            silent = time.monotonic() - self._asked_at
            if silent > 2 * self._period:
                self._say(f"process {self.process.pid} has not answered for {silent:.0f} s: is it stopped?")
                self._silent = True
        elif self._silent and self.process is not None:
            self._silent = False
            self._say(f"attached to {self.process.pid}: {self.process.command}")

    def _show_queues(self) -> None:
        rows = list(self.counters.queues.values())
        if len(rows) > 1:
            rows.append(self.counters.total)
        self.queue_table.show(rows)

    def _show_commands(self) -> None:
        newest = self.log_of_commands.newest()
        self.command_table.show(newest)
        if self._chosen is not None and self._chosen.cqe is None:
            # By now it may have completed.
            found = next((command for command in newest if command.key == self._chosen.key), None)
            if found is not None and found.cqe is not None:
                self._show_fields(found)
        self._show_note(len(newest))

    def _show_note(self, shown: int) -> None:
        if self._wrong is not None:
            return
        note = f"{shown:,} shown"
        if self.log_of_commands.unseen:
            note += f", {self.log_of_commands.unseen:,} more since the last look"
        self.note.update(f"held: {note}" if self._holding else note, layout=False)

    def _queue_row(self, queue: Queue):
        def per_second(rate, unit):
            return "" if rate.now is None else f"{rate.now / unit:,.0f}"

        known = self.counters.controllers[queue.controller : queue.controller + 1] if queue.handle else []
        cells = (
            f"{queue.label} admin" if queue.handle and queue.qid == 0 else queue.label,
            f"{queue.in_flight:,}",
            str(queue.depth or ""),
            per_second(queue.iops, 1),
            queue.iops.sparkline(SPARK),
            per_second(queue.bandwidth, 1 << 20),
            queue.bandwidth.sparkline(SPARK),
            f"{queue.completed:,}",
            f"{queue.failed:,}",
            " ".join(f"{one['address']} {one['model'].strip()}" for one in known),
        )
        return cells, FAILED if queue.failed else Style()

    def _command_row(self, command: Command):
        sent = datetime.fromtimestamp(command.submitted / 1e6).strftime("%H:%M:%S.%f")
        if command.cqe is None:
            latency, status, style = "", "in flight", IN_FLIGHT
        else:
            latency = f"{command.latency_us:,.1f}"
            status = fields.status(command) if command.failed else "ok"
            style = FAILED if command.failed else Style()
        return (sent, command.label, latency, status, fields.line(command)), style

    def _show_fields(self, command: Command) -> None:
        self._chosen = command
        self.fields.update(fields.table(command))

    def on_table_moved(self, event: Table.Moved) -> None:
        """Once a command was chosen, its neighbours show their fields as well."""
        if event.table.id == "commands":
            self._show_fields(event.row)

    def on_table_chosen(self, event: Table.Chosen) -> None:
        """A command shows its fields; a queue becomes the filter."""
        if event.table.id == "commands":
            self._show_fields(event.row)
        elif event.row.handle:
            self.inputs["queue"].value = event.row.label

    # Filters.

    def on_input_changed(self, event: Input.Changed) -> None:
        """Every change of a filter shows at once, as far as it can be understood."""
        texts = {name: widget.value for name, widget in self.inputs.items()}
        wrong = None
        for name, widget in self.inputs.items():
            try:
                Filter.parse(**{name: texts[name]})
                widget.remove_class("-invalid")
            except FilterError as why:
                widget.add_class("-invalid")
                wrong = f"{name}: {why}"
        self._wrong = wrong
        if wrong is not None:
            self.note.update(wrong, layout=False)
            return
        parsed = Filter.parse(**texts)
        if parsed != self.log_of_commands.filter:
            self.log_of_commands.filter = parsed
            self.log_of_commands.clear()
            self.command_table.forget()
            self._rest = 0
            self._hurry.set()

    def on_input_submitted(self) -> None:
        """Back to the log."""
        self.command_table.focus()

    # Keys.

    def action_attach(self) -> None:
        """Choose among what there is."""
        processes = find(self._path).processes
        if len(processes) > 1:
            self._choose(processes)
        else:
            self.answers = 0
            self.watch_one(None)

    def action_detach(self) -> None:
        """Leave the process alone; what was seen last stays."""
        if self.process is not None:
            self._say(f"detached from {self.process.pid}; a attaches again")
        self.detach()

    def action_filter(self) -> None:
        """To the filters."""
        self.inputs["opcode"].focus()

    def action_clear(self) -> None:
        """All commands of all queues."""
        for widget in self.inputs.values():
            widget.value = ""

    def action_failed(self) -> None:
        """Failed commands only, or all."""
        status = self.inputs["status"]
        status.value = "" if status.value else "failed"

    def action_pause(self) -> None:
        """Hold the log, or let it go on; the counters go on in any case."""
        self._holding = not self._holding
        self._show_note(len(self.log_of_commands.newest()))
        self._hurry.set()

    def action_top(self) -> None:
        """Back from a filter to the log, and there to the newest command."""
        self.command_table.focus()
        self.command_table.forget()


def give_way() -> None:
    """Where cores are scarce, the test comes first."""
    with contextlib.suppress(OSError):
        os.nice(10)


def run(path: str, pid: int | None, period: float) -> None:
    """Until the user leaves."""
    give_way()
    Console(path, pid, period).run()
