"""What a failed test leaves: the bytes of both directions, to read and for Wireshark."""

import re

from nvme import wire

# Lines of a dump: the end is shown, where the misbehaviour is; the capture has everything.
SHOWN = 60


def hexdump(data):
    """Offsets, bytes and characters, sixteen a line; a star stands for lines like the one before."""
    # From the end on: the beginning of what a target sent without end would be megabytes of lines.
    lines = []
    for offset in range((len(data) - 1) // 16 * 16, -1, -16):
        if len(lines) == SHOWN:
            lines.append("  (what came before is in the capture)")
            break
        row = data[offset : offset + 16]
        if offset == 0 or row != data[offset - 16 : offset]:
            text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in row)
            lines.append(f"  {offset:06x}  {row.hex(' '):<47}  {text}")
        elif not lines or lines[-1] != "  *":
            lines.append("  *")
    return "\n".join(reversed(lines)) or "  (nothing)"


def describe(connections):
    """The bytes that went over some connections."""
    parts = []
    for number, connection in enumerate(connections, 1):
        sent, received = connection.sent, connection.received
        parts.append(f"connection {number}: {len(sent)} bytes sent\n{hexdump(sent)}")
        parts.append(f"connection {number}: {len(received)} bytes received\n{hexdump(received)}")
    return "\n".join(parts)


def save(folder, test, connections):
    """Writes the capture of a test; returns its path."""
    folder.mkdir(parents=True, exist_ok=True)
    name = re.sub(r"[^\w.-]+", "_", test.rsplit("/", 1)[-1]).strip("_")
    path = folder / f"{name}.pcapng"
    wire.write_capture(path, connections)
    return path
