"""Bytes of commands, properties and data structures, by the names of the specification."""

from nvme import wire

# Properties.
CAP, VS, CC, CSTS = 0x00, 0x08, 0x14, 0x1C
# Controller Configuration: entries of 64 and of 16 bytes; Enable.
ENABLED = 0x00460001

# Admin commands.
GET_LOG_PAGE, ABORT, SET_FEATURES, GET_FEATURES, ASYNCHRONOUS_EVENT_REQUEST = 0x02, 0x08, 0x09, 0x0A, 0x0C
# Features.
NUMBER_OF_QUEUES, KEEP_ALIVE_TIMER = 0x07, 0x0F


def little(data, begin, size):
    """A number in a data structure."""
    return int.from_bytes(data[begin : begin + size], "little")


def with_dword(sqe, index, value):
    """A command with one dword changed."""
    return sqe[: 4 * index] + value.to_bytes(4, "little") + sqe[4 * index + 4 :]


def transport_sgl(sqe, length):
    """A command whose data the transport moves."""
    return sqe[:24] + bytes(8) + length.to_bytes(4, "little") + bytes(3) + b"\x5a" + sqe[40:]


def log_page(cid, page, length, offset=0, nsid=0):
    """Get Log Page."""
    sqe = transport_sgl(wire.Command.of(GET_LOG_PAGE, cid=cid, nsid=nsid), length)
    sqe = with_dword(sqe, 10, page | (length // 4 - 1) << 16)
    return with_dword(with_dword(sqe, 12, offset & 0xFFFFFFFF), 13, offset >> 32)


def set_features(cid, feature, value):
    """Set Features without data."""
    return with_dword(with_dword(wire.Command.of(SET_FEATURES, cid=cid), 10, feature), 11, value)


def get_features(cid, feature):
    """Get Features without data."""
    return with_dword(wire.Command.of(GET_FEATURES, cid=cid), 10, feature)


def text(data, begin, size):
    """A string; it ends with a zero or is padded with spaces."""
    return data[begin : begin + size].split(b"\0")[0].decode("utf-8", "replace").rstrip(" ")


def active_namespaces(admin):
    """What the Active Namespace ID list has, up to the first zero."""
    data = admin.identify(2)
    listed = [little(data, at, 4) for at in range(0, 4096, 4)]
    return listed[: listed.index(0)] if 0 in listed else listed


def block_of(namespace):
    """The bytes of data and of metadata of its blocks, from Identify Namespace."""
    flbas = namespace[26]
    form = little(namespace, 128 + 4 * (flbas & 0xF | (flbas >> 5 & 3) << 4), 4)
    return 1 << (form >> 16 & 0xFF), form & 0xFFFF
