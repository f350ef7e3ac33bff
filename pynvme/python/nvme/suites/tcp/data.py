"""Data to write, and the PDUs that carry it when a controller asks."""

from nvme import wire


def pattern(length, seed=0):
    """Bytes that tell where they belong."""
    return b"".join(
        (seed * 0x9E3779B1 + word & 0xFFFFFFFF).to_bytes(4, "little") for word in range(length // 4)
    )


def lengths(block, most):
    """One block, two, three, and around every power of two up to `most`."""
    found, count = {block, 3 * block, most // block * block}, 2
    while count * block <= most:
        found |= {(count - 1) * block, count * block, (count + 1) * block}
        count *= 2
    return sorted(length for length in found if block <= length <= most)


def data_for(r2t, part, **fields):
    """The H2CData PDU that an R2T asks for, with some fields changed."""
    values = {"cccid": r2t["cccid"], "ttag": r2t["ttag"], "datao": r2t["r2to"], "data": part, "last": True}
    return wire.Pdu.h2c_data(**{**values, **fields})


def first_part(connection, r2t):
    """How many bytes one data PDU may have: no more than R2TL, nor than MAXH2CDATA of this connection."""
    return len(connection.data_pdus(r2t, bytes(r2t["r2tl"]))[0].data)


def answer(connection, r2t, data):
    """Sends what an R2T asks for, of all the data of the command."""
    for pdu in connection.data_pdus(r2t, data[r2t["r2to"] : r2t["r2to"] + r2t["r2tl"]]):
        connection.send(pdu)
