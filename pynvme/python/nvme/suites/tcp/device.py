"""The device under test for a whole session: where it is, what it can, and whether it still serves others."""

import dataclasses
import time

import nvme
from nvme import wire

from .changes import ByCommand, ByRpc

DISCOVERY = "nqn.2014-08.org.nvmexpress.discovery"
CAP = 0x00
GET_LOG_PAGE, DISCOVERY_LOG = 0x02, 0x70
# How long a target that restarts may take.
BACK = 20
# How long a process lives on after its connections are gone.
DYING = 2


class Gone(Exception):
    """The device cannot be reached any more."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """What the controller and its first namespace say about themselves."""

    model: str
    firmware: str
    in_capsule: int  # bytes of data in an I/O capsule
    longest: int  # bytes of one transfer
    keep_alive: bool
    nsid: int
    block: int
    blocks: int
    metadata: int


def little(data, begin, size):
    """A number in a data structure."""
    return int.from_bytes(data[begin : begin + size], "little")


def with_dword(sqe, index, value):
    """A command with one dword changed."""
    return sqe[: 4 * index] + value.to_bytes(4, "little") + sqe[4 * index + 4 :]


def transport_sgl(sqe, length):
    """A command whose data the transport moves."""
    return sqe[:24] + bytes(8) + length.to_bytes(4, "little") + bytes(3) + b"\x5a" + sqe[40:]


def discover(address):
    """The name of the first subsystem that discovery lists over TCP."""
    with wire.Connection(address, DISCOVERY, kato=0) as connection:
        connection.initialise()
        connection.connect()
        connection.enable()
        sqe = transport_sgl(wire.Command.of(GET_LOG_PAGE, cid=1), 4096)
        sqe = with_dword(sqe, 10, DISCOVERY_LOG | (4096 // 4 - 1) << 16)
        log = connection.execute(sqe).data
    for begin in range(1024, min(4096, 1024 + 1024 * little(log, 8, 8)), 1024):
        entry = log[begin : begin + 1024]
        if entry[0] == 3 and entry[2] == 2:  # TCP, an NVM subsystem
            return entry[256:512].split(b"\0")[0].decode()
    raise Gone(f"discovery at {address} lists no subsystem over TCP: name one with --nqn")


class Device:
    """The target of --pciaddr, or an embedded one that is started again when it dies."""

    def __init__(self, address, nqn, namespaces=""):
        self._address, self._nqn, self._namespaces = address, nqn, namespaces
        self._embedded = self._changer = None
        self._witness = None
        self.facts = None
        self.gone = None

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
            self._nqn = self._embedded.subnqn if self._embedded else discover(self.address)
        return self._nqn

    def open(self, **options):
        """A connection on which nothing was sent."""
        address = self.address
        return wire.Connection(address, self.nqn, **options)

    def changer(self):
        """What adds and removes a namespace; None if nothing can."""
        if self._namespaces:
            return ByCommand(self._namespaces)
        return self._changer if self._embedded else None

    def begin(self):
        """Has another association ready, that of the witness: it behaves, and has to be served all the time."""
        if self.gone:
            raise Gone(self.gone)
        if self._witness is None:
            end = time.monotonic() + BACK
            while True:
                try:
                    self._witness = Witness(self)
                    break
                except (OSError, wire.ProtocolError) as error:
                    if time.monotonic() > end:
                        self.gone = f"no association with {self.address} within {BACK} s: {error}"
                        raise Gone(self.gone) from error
                    time.sleep(0.2)
            self.facts = self.facts or self._witness.facts()

    def check(self):
        """None if the other association is still served, else what happened to it. The next one is new."""
        problem = self._witness.problem() if self._witness else None
        if self._died(DYING if problem else 0):
            problem = "the target process has died"
        if problem:
            self._witness.close()
            self._witness = None
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
        self.admin = device.open()
        self.admin.initialise()
        self.cntlid = self.admin.connect()
        self.admin.enable()
        self.io = device.open()
        self.io.initialise()
        self.io.connect(qid=1, cntlid=self.cntlid)
        self.read = None

    def facts(self):
        """What Identify says."""
        controller = self.admin.identify(1)
        nsid = little(self.admin.identify(2), 0, 4)
        if not nsid:
            raise Gone("the subsystem has no namespace: add one")
        namespace = self.admin.identify(0, nsid)
        form = little(namespace, 128 + 4 * (namespace[26] & 0xF), 4)
        block = 1 << (form >> 16 & 0xFF)
        page = 4096 << (self.admin.property_get(CAP, True) >> 48 & 0xF)
        mdts = controller[77]
        facts = Facts(
            model=controller[24:64].decode("ascii", "replace").strip(),
            firmware=controller[64:72].decode("ascii", "replace").strip(),
            in_capsule=max(0, little(controller, 1792, 4) * 16 - 64),
            longest=min(page << mdts if mdts else 1 << 20, 1 << 20),
            keep_alive=little(controller, 320, 2) != 0,
            nsid=nsid,
            block=block,
            blocks=little(namespace, 0, 8),
            metadata=form & 0xFFFF,
        )
        self.read = wire.Command.read(2, nsid, 0, 1, block)
        return facts

    def problem(self):
        """What is wrong with it, if anything."""
        try:
            self.admin.property_get(CAP, True, cid=1)
            if self.read:
                outcome = self.io.execute(self.read)
                if outcome.status != "00/00":
                    return f"a read of the well-behaved association failed with status {outcome.status}"
        except (OSError, wire.ProtocolError) as error:
            return f"the well-behaved association is not served any more: {error}"
        return None

    def close(self):
        """Both queues."""
        self.io.close()
        self.admin.close()
