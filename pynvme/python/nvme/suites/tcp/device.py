"""The device under test for a whole session: where it is, what it can, and whether it still serves others."""

import time

import nvme
from nvme import wire

from .association import KEEP_ALIVE_INVALID, Barred, Refused, ask_for_queues, connect
from .changes import ByCommand, ByRpc
from .facts import NoNamespace, learn
from .structures import CAP, little, log_page, text

DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"
DISCOVERY_LOG, ENTRY = 0x70, 1024
TCP, NVM_SUBSYSTEM = 3, 2
# Entries of a discovery log that are looked at.
MOST = 4096
# Milliseconds: NVMe/TCP requires the use of Keep Alive. Tests are shorter; the witness is looked at more often.
KATO = 120_000
# How long a target that restarts may take.
BACK = 20
# How long a process lives on after its connections are gone.
DYING = 2


class Gone(Exception):
    """The device cannot be reached any more."""


def discover(address, **options):
    """The name of the first subsystem that discovery lists over TCP."""
    with wire.Connection(address, DISCOVERY, **options) as connection:
        connection.initialise()
        connect(connection)
        connection.enable()

        def read(offset, length):
            return connection.execute(log_page(1, DISCOVERY_LOG, length, offset)).data

        for number in range(1, min(little(read(0, 16), 8, 8), MOST) + 1):
            entry = read(ENTRY * number, ENTRY)
            if entry[:1] == bytes([TCP]) and entry[2] == NVM_SUBSYSTEM:
                return text(entry, 256, 256)
    raise Gone(f"discovery at {address} lists no subsystem over TCP: name one with --nqn")


class Device:
    """The target of --pciaddr, or an embedded one that is started again when it dies."""

    def __init__(self, address, nqn, namespaces="", hostnqn=""):
        self._address, self._nqn, self._namespaces = address, nqn, namespaces
        self.hostnqn = hostnqn or None
        self._embedded = self._changer = None
        self._witness = None
        self.kato = KATO
        # Why there is nothing to test: since it is gone, or since it does not let this host in.
        self._over = None
        self.facts = None

    @property
    def address(self):
        """Where it listens."""
        if self._address:
            return self._address
        if self._embedded is None or not self._embedded.running:
            self._embedded = nvme.Target(megabytes=64, namespaces=2)
            self._changer = ByRpc(self._embedded)
        return self._embedded.address

    @property
    def nqn(self):
        """The subsystem under test."""
        if not self._nqn:
            address = self.address
            self._nqn = self._embedded.subnqn if self._embedded else discover(address, hostnqn=self.hostnqn)
        return self._nqn

    def open(self, **options):
        """A connection on which nothing was sent."""
        address = self.address
        return wire.Connection(address, self.nqn, **{"kato": self.kato, "hostnqn": self.hostnqn, **options})

    def changer(self):
        """What adds and removes a namespace; None if nothing can."""
        if self._namespaces:
            return ByCommand(self._namespaces)
        return self._changer if self._embedded else None

    def begin(self):
        """Has another association ready, that of the witness: it behaves, and has to be served all the time."""
        if self._over:
            raise self._over
        if self._witness is None:
            try:
                self._witness = self._associated()
            except (Barred, Gone) as over:
                self._over = over
                raise
            self.facts = self._witness.facts

    def _associated(self):
        """A witness, as soon as there can be one."""
        end = time.monotonic() + BACK
        while True:
            try:
                return Witness(self)
            except (NoNamespace, ValueError) as hopeless:
                raise Gone(str(hopeless)) from hopeless
            except (OSError, wire.ProtocolError) as error:
                refused = isinstance(error, Refused) and error.status == KEEP_ALIVE_INVALID
                if refused and self.kato:
                    # Without Keep Alive it fails the tests of that, and may pass the others.
                    self.kato = 0
                elif time.monotonic() > end:
                    raise Gone(f"no association with {self.address} within {BACK} s: {error}") from error
                else:
                    time.sleep(0.2)

    def check(self):
        """None if the other association is still served, else what happened to it. The next one is new."""
        if self._witness is None:
            return None
        problem = self._witness.problem()
        if self._died(DYING if problem else 0):
            problem = "the target process has died"
        if problem:
            self._witness.close()
            self._witness = None
            if self._embedded is not None:
                # One that lives and serves nobody would fail all that follows: the next test has a new one.
                self._embedded.stop()
        return problem

    def _died(self, seconds):
        """Whether an embedded target has ended, or does so within some seconds."""
        if self._embedded is None:
            return False
        end = time.monotonic() + seconds
        while self._embedded.running and time.monotonic() < end:
            time.sleep(0.02)
        return not self._embedded.running

    def end(self):
        """Leaves nothing running."""
        if self._witness is not None:
            self._witness.close()
        if self._embedded is not None:
            self._embedded.stop()


class Witness:
    """An association that does everything right: an admin queue and an I/O queue."""

    def __init__(self, device):
        self._queues = []
        try:
            self.admin = self._open(device)
            cntlid = connect(self.admin)
            self.admin.enable()
            self.facts = device.facts or learn(self.admin)
            ask_for_queues(self.admin)
            self.io = self._open(device)
            connect(self.io, qid=1, entries=self.facts.entries, cntlid=cntlid)
        except BaseException:
            self.close()
            raise
        self._commands = [("a Property Get", self.admin, wire.Command.property_get(1, CAP, True))]
        if device.kato:
            self._commands.append(("a Keep Alive", self.admin, wire.Command.keep_alive(2)))
        if self.facts.nsid:
            read = wire.Command.read(3, self.facts.nsid, 0, 1, self.facts.block)
            self._commands.append(("a Read", self.io, read))

    def _open(self, device):
        queue = device.open()
        self._queues.append(queue)
        queue.initialise()
        return queue

    def problem(self):
        """What is wrong with it, if anything."""
        for what, queue, sqe in self._commands:
            try:
                status = queue.execute(sqe).status
            except (OSError, wire.ProtocolError) as error:
                return f"the well-behaved association is not served any more: {error}"
            if status != "00/00":
                return f"{what} of the well-behaved association failed with status {status}"
        return None

    def close(self):
        """Both queues, that with I/O first."""
        for queue in reversed(self._queues):
            queue.close()
