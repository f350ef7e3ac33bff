"""The target as a test sees it: connections in any state, and verdicts."""

import contextlib
import time

from nvme import wire

from .association import BUSY, Refused, ask_for_queues, connect
from .verdicts import BOUND, PARAMETER, Verdicts, not_applicable

# Where ICReq has HPDA.
HPDA = 10
# Of connections that tests open in great number, only so many are kept for the capture.
LAST = 8


class Target(Verdicts):
    """One test's view of the device."""

    def __init__(self, device, sections):
        super().__init__(sections)
        self.device, self.facts = device, device.facts
        self._kept, self._brief = [], []
        # How many controllers this test has.
        self._controllers = 0
        # Of the controller that was connected last.
        self.cntlid = self.icresp = None
        self.admin_queue = self._granted = None

    @property
    def connections(self):
        """For the capture."""
        return [*self._kept, *self._brief]

    @property
    def on_request(self):
        """A length that has to be asked for by R2T: no capsule takes it, and it has two blocks at least."""
        self._namespace()
        block = self.facts.block
        length = max(2, self.facts.in_capsule // block + 1) * block
        if length > self.facts.longest:
            not_applicable(
                f"capsules take {self.facts.in_capsule} bytes, transfers have up to {self.facts.longest}: "
                "no R2T is needed"
            )
        return length

    def open(self, brief=False, **options):
        """A connection on which nothing was sent; a brief one is soon over, and only the last few are kept."""
        connection = self.device.open(**options)
        self.keep(connection, brief)
        return connection

    def keep(self, connection, brief=False):
        """For the capture, and to be closed."""
        (self._brief if brief else self._kept).append(connection)
        while len(self._brief) > LAST:
            self._brief.pop(0).close()

    def initialised(self, **options):
        """A connection after ICReq and ICResp."""
        connection = self.open(**options)
        response = self._aligned(connection, options) if options.get("hpda") else connection.initialise()
        missing = options.get("dgst", 0) & ~response["dgst"]
        if missing:
            not_applicable(f"the target does not use {'header' if missing & 1 else 'data'} digests")
        self.icresp = response
        return connection

    def _aligned(self, connection, options):
        """ICResp to an ICReq with an HPDA; a controller may not support it, if it says so."""
        request = wire.Pdu.icreq(hpda=options["hpda"], dgst=options.get("dgst", 0))
        connection.send(request)
        response = connection.receive()
        name = getattr(response, "name", "")
        if name == "C2HTermReq" and (response["fes"], response["fei"]) == (PARAMETER, HPDA):
            not_applicable(f"the target does not support HPDA {options['hpda']}, and says so")
        if name != "ICResp":
            self.fail(f"an ICReq with HPDA {options['hpda']} was answered by {response!r}")
        connection.agree(request, response)
        return response

    def admin(self, entries=32, brief=False, **options):
        """The admin queue of a controller of its own, enabled."""
        end = time.monotonic() + BOUND
        while True:
            connection = self.initialised(brief=brief, **options)
            try:
                self.cntlid = connect(connection, entries=entries)
                break
            except Refused as refused:
                connection.close()
                if refused.status != BUSY:
                    raise
                # Controllers of earlier tests may not be free yet.
                if time.monotonic() > end and self._controllers:
                    not_applicable(
                        f"the target has no controller more than the {self._controllers} of this test"
                    )
                if time.monotonic() > end:
                    raise
                time.sleep(0.1)
        self._controllers += 1
        connection.enable()
        self.admin_queue, self._granted = connection, None
        return connection

    def ask(self, count=1):
        """How many I/O queues the controller grants, which is asked once, before the first is connected."""
        if self._granted is None:
            self._granted = ask_for_queues(self.admin_queue, count)
        return self._granted

    def queue(self, qid=1, entries=None, **options):
        """An I/O queue of the controller that was connected last."""
        entries = entries or self.facts.entries
        if entries > self.facts.deepest:
            not_applicable(f"queues have up to {self.facts.deepest} entries (CAP.MQES)")
        self.ask()
        connection = self.initialised(**options)
        connect(connection, qid=qid, entries=entries, cntlid=self.cntlid)
        return connection

    def io(self, entries=None, **options):
        """An I/O queue of a controller of its own."""
        self.admin(**options)
        return self.queue(entries=entries, **options)

    def leave(self, *queues):
        """Closes queues of the last controller, and then its admin queue, so that it is free again."""
        for queue in (*queues, self.admin_queue):
            queue.close()
        self._controllers -= 1

    def write(self, cid, length, lba=0, in_capsule=False):
        """A Write command of some bytes."""
        nsid, blocks = self._namespace(), length // self.facts.block
        return wire.Command.write(cid, nsid, lba, blocks, length, in_capsule)

    def read(self, cid, length, lba=0):
        """A Read command of some bytes."""
        return wire.Command.read(cid, self._namespace(), lba, length // self.facts.block, length)

    def _namespace(self):
        if self.facts.nsid is None:
            not_applicable("all namespaces have metadata")
        return self.facts.nsid

    def send(self, connection, what):
        """Sends; a target that closes early may not take everything."""
        with contextlib.suppress(ConnectionError):
            connection.send(what)

    def others_are_served(self):
        """So must the well-behaved association be, whatever happens on others."""
        problem = self.device.check()
        if problem:
            self.fail(problem)

    def close(self):
        """All connections, I/O queues before their admin queue."""
        for connection in reversed(self.connections):
            connection.close()
