"""NVMe/TCP on the wire: what a normal host never sends.

    from nvme import wire

    with wire.Connection("192.168.1.7:4420", "nqn.2026-01.org.example:disk") as connection:
        connection.initialise()  # ICReq, ICResp: right up to here
        frame = connection.frame(wire.Pdu.capsule_cmd(wire.Command.keep_alive(cid=1)))
        frame.hlen += 1
        connection.send(frame)
        print(connection.receive_until_closed(timeout=5))
        wire.write_capture("hlen.pcapng", [connection])

Nothing here needs SPDK or privileges. See docs/tcp-suite.md for a suite made with it.
"""

from ._nvme import (
    Closed,
    Command,
    Connection,
    Frame,
    Malformed,
    Outcome,
    Pdu,
    ProtocolError,
    write_capture,
)

__all__ = [
    "Closed",
    "Command",
    "Connection",
    "Frame",
    "Malformed",
    "Outcome",
    "Pdu",
    "ProtocolError",
    "write_capture",
]
