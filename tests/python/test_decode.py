"""nvme.decode: what was sent and what came back, by the names of the specification."""

import random

import nvme as d
import pytest

READ = [0x0007_0002, 1, 0, 0, 0, 0, 0, 0, 0, 0, 4096, 0, 1 << 30 | 7, 0, 0, 0]


def test_a_command_in_every_form():
    raw = b"".join(dword.to_bytes(4, "little") for dword in READ)
    buf = d.Buffer(64)
    buf[0:] = raw
    for form in (READ, tuple(READ), raw, bytearray(raw), buf, map(int, READ)):
        read = d.decode(form)
        assert repr(read) == "<Read: CID 7, NSID 1, SLBA 4096, NLB 7 (8 blocks), FUA>"
    assert read.name == "Read" and read["SLBA"] == 4096 and "FUA" in read and "WCE" not in read
    nlb = next(field for field in read.fields if field.name == "NLB")
    assert (nlb.title, nlb.value, nlb.meaning) == ("Number of Logical Blocks", 7, "8 blocks")
    assert repr(nlb) == "<NLB 7 (8 blocks)>"
    assert "  NLB     7     Number of Logical Blocks: 8 blocks" in str(read).splitlines()
    with pytest.raises(KeyError, match=r"no field .*WCE.*SLBA"):
        read["WCE"]


def test_the_queue_decides():
    sqe = [0x02, 0xFFFFFFFF, *[0] * 8, 0x007F_0002, *[0] * 5]
    assert d.decode(sqe).name == "Read"
    log = "Get Log Page: CID 0, NSID 4294967295 (all namespaces), LID 0x2 (SMART / Health Information)"
    assert repr(d.decode(sqe, qid=0)).startswith(f"<{log}")
    assert repr(d.decode(sqe, "admin command")).startswith(f"<{log}")


def test_completions():
    out_of_range = (0, 0, 1 << 16 | 4, 0x80 << 17 | 7)
    cpl = d.decode(out_of_range)
    assert cpl.name == "LBA Out of Range" and (cpl["SCT"], cpl["SC"], cpl["CID"], cpl["SQID"]) == (
        0,
        0x80,
        7,
        1,
    )
    assert "Status Code: The command reaches beyond the end of the namespace" in str(cpl)

    getfeatures = [0x0A, *[0] * 9, 0x07, *[0] * 5]
    queues = d.decode((0x000F_0003, 0, 0, 0), qid=0, command=getfeatures)
    assert queues.parts[0].name == "Number of Queues" and queues.parts[0]["NCQ"] == 15


def test_features_logs_and_identify():
    assert repr(d.decode(1, "feature 6")) == "<Volatile Write Cache: WCE 1 (enabled)>"
    buf = d.Buffer(512)
    buf[1:] = (358).to_bytes(2, "little")
    assert d.decode(buf, "smart")["CTEMP"] == 358
    assert d.decode(buf, "log 0x02").name == d.decode(buf, "SMART").name == "SMART / Health Information"
    identify = d.decode(b"\0" * 24 + b"A model".ljust(40) + bytes(4032), "identify controller")
    assert identify["MN"] == "A model" and identify.parts[0].name == "Power State 0"
    whole = identify.as_dict()
    assert whole["name"] == "Identify Controller"
    assert {"name": "MN", "title": "Model Number", "value": "A model", "meaning": None} in whole["fields"]
    assert d.decode(bytes(range(200, 216)) * 8, "identify namespace")["NGUID"] == bytes(
        [*range(208, 216), *range(200, 208)]
    )


def test_what_cannot_be_decoded():
    with pytest.raises(AssertionError, match="4096 bytes are neither a completion"):
        d.decode(d.Buffer())
    with pytest.raises(AssertionError, match=r'nothing to decode by the name "smrt".*"smart"'):
        d.decode(bytes(512), "smrt")
    with pytest.raises(AssertionError, match="command is what a completion answers"):
        d.decode(READ, command=READ)
    with pytest.raises(TypeError):
        d.decode(None)
    with pytest.raises(OverflowError):
        d.decode([1 << 32] * 16)
    with pytest.raises(AssertionError, match="more dwords"):
        d.decode(iter(int, 1), "smart")


KINDS = ["admin command", "io command", "completion", "identify controller", "identify namespace"]
KINDS += [
    f"{what} {number}" for what in ("log", "identify", "feature", "feature data") for number in range(256)
]


def test_any_bytes_decode():
    draw = random.Random(7)
    for kind in KINDS:
        decoded = d.decode(draw.randbytes(draw.choice([0, 1, 3, 16, 64, 500, 4096])), kind)
        assert decoded.name and str(decoded) and repr(decoded) and decoded.as_dict()


def test_what_a_device_says(nvme0, nvme0n1, qpair):
    buf = d.Buffer(4096)
    nvme0.identify(buf).waitdone()
    identify = d.decode(buf, "identify controller")
    assert identify["SN"] == nvme0.id_data(23, 4, str) and identify["NN"] == nvme0.id_data(519, 516)
    nvme0.identify(buf, nsid=1, cns=0).waitdone()
    namespace = d.decode(buf, "identify namespace")
    assert namespace["NSZE"] == nvme0n1.id_data(7, 0)
    assert any(part.name.endswith(", in use") and part["LBADS"] == 9 for part in namespace.parts)
    nvme0.identify(buf, nsid=1, cns=3).waitdone()
    assert d.decode(buf, "namespace descriptors").parts

    said = []
    nvme0n1.read(qpair, buf, 5, 8, cb=lambda cpl: said.append(d.decode(cpl))).waitdone()
    assert said[0].name == "Successful Completion"
    entry = qpair.cmdlog_entries(1)[0]
    assert d.decode(entry["sqe"])["SLBA"] == 5
    entry = nvme0.getfeatures(7).waitdone() and nvme0.cmdlog_entries(1)[0]
    assert "Number of Queues" in str(d.decode(entry["cqe"], qid=0, command=entry["sqe"]))
