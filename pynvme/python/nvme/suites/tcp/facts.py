"""What the controller under test says about itself."""

from __future__ import annotations  # for Python 3.9

import dataclasses

from .structures import CAP, active_namespaces, block_of, little, text

# I/O queues need not have more entries, whatever the controller allows.
ENTRIES = 32
# No test transfers more at once.
LONGEST = 1 << 20
# A block has 512 bytes at least (LBADS).
SMALLEST = 512
# Seconds a controller may take at least to become ready, or to stop: the suite's choice where CAP.TO is shorter.
READY = 5


class NoNamespace(Exception):
    """There is nothing to read or write."""


@dataclasses.dataclass(frozen=True)
class Facts:
    """Of the controller, and of its first namespace without metadata."""

    model: str
    firmware: str
    in_capsule: int  # bytes of data in an I/O capsule
    mdts: int  # bytes of one transfer; 0 for any
    longest: int  # bytes of one transfer here
    deepest: int  # entries an I/O queue may have
    ready: float  # seconds for CSTS.RDY to follow CC.EN
    granularity: int  # of the Keep Alive Timeout, in milliseconds; 0 if there is no Keep Alive
    traffic_based: bool  # whether any command keeps alive
    disconnect: bool  # whether the Disconnect command is supported
    namespaces: int  # the highest namespace identifier
    nsid: int | None  # None if all namespaces have metadata
    block: int
    blocks: int

    @property
    def entries(self):
        """Of I/O queues, where a test does not care."""
        return min(ENTRIES, self.deepest)


def learn(admin):
    """From the properties and Identify, on an enabled controller."""
    controller, cap = admin.identify(1), admin.property_get(CAP, True)
    nsid, block, blocks = _namespace(admin)
    page = 4096 << (cap >> 48 & 0xF)
    mdts = page << controller[77] if controller[77] else 0
    longest = min(mdts or LONGEST, LONGEST, blocks * block if nsid else LONGEST)
    return Facts(
        model=text(controller, 24, 40),
        firmware=text(controller, 64, 8),
        in_capsule=max(0, little(controller, 1792, 4) * 16 - 64),
        mdts=mdts,
        longest=longest // block * block,
        deepest=(cap & 0xFFFF) + 1,
        ready=max(READY, (cap >> 24 & 0xFF) / 2),
        granularity=little(controller, 320, 2) * 100,
        traffic_based=bool(little(controller, 96, 4) >> 6 & 1),
        disconnect=bool(little(controller, 1804, 2) & 1),
        namespaces=little(controller, 516, 4),
        nsid=nsid,
        block=block,
        blocks=blocks,
    )


def _namespace(admin):
    """The first one without metadata: its identifier, the size of a block, and how many there are."""
    listed = active_namespaces(admin)
    if not listed:
        raise NoNamespace("the subsystem has no namespace: add one")
    for nsid in listed:
        data = admin.identify(0, nsid)
        (block, metadata), blocks = block_of(data), little(data, 0, 8)
        if metadata:
            continue
        if not SMALLEST <= block <= LONGEST or not blocks:
            raise NoNamespace(f"namespace {nsid} is active with {blocks} blocks of {block} bytes")
        return nsid, block, blocks
    return None, 512, 0
