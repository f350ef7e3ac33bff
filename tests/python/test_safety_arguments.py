"""Arguments of every kind for everything that takes some: exceptions at most, and soon."""

import pytest

ARGUMENTS = """
import inspect, random
warnings.simplefilter("ignore")
seed = int(arguments[0])
chance = random.Random(seed)

class BadInt:
    def __int__(self): raise ValueError("no int")
class NoInt:
    def __int__(self): return "x"
class BadIndex:
    def __index__(self): raise KeyError("no index")
class Truthless:
    def __bool__(self): raise RuntimeError("no bool")
class Deleter:
    def __int__(self):
        qpair.delete()
        return 1
class Waiter:
    def __int__(self):
        qpair.waitdone(0)
        return 0

VALUES = [
    None, 0, 1, -1, 2, 7, 255, 256, 65535, 65536, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**64, 2**200, -2**63,
    -2**64, 0.0, 1.5, -0.5, float("nan"), float("inf"), 1e300, "", "1", "abc", "a\\0b", "\\udc80", "x" * 100000, b"",
    b"1", bytearray(b"abc"), memoryview(b"abc"), [], [1], (1, 2), {}, {2: 100}, set(), range(3), iter([1, 2]),
    slice(None), slice(1, 2, 3), slice(-10**30, 10**30, -1), slice(None, None, 0), complex(1, 2), True, False, ...,
    object(), type, int, str, print, lambda *a: None, BadInt(), NoInt(), BadIndex(), Truthless(), Deleter(), Waiter(),
    pcie, nvme0, nvme0n1, buf, d.Buffer, d,
]
# They wait for what nobody sent, reach for other machines and big files, end things, or go on for long.
LEFT_OUT = {
    "Controller": {"waitdone", "reset", "downfw", "__setitem__"},
    "Qpair": {"waitdone"},
    "Pcie": {"close"},
    "Namespace": {"ioworker"},
}

def targets():
    for thing in (buf, pcie, nvme0, qpair, nvme0n1):
        for name in dir(type(thing)):
            out = LEFT_OUT.get(type(thing).__name__, ())
            if name in out or (name.startswith("_") and name not in ("__getitem__", "__setitem__")):
                continue
            yield thing, name

def attempt(call, *values, **named):
    begin = time.monotonic()
    try:
        call(*values, **named)
    except (KeyboardInterrupt, SystemExit, GeneratorExit):
        raise
    except Exception as error:
        assert type(error).__name__ != "PanicException", error
        assert not isinstance(error, SystemError) or not str(error), error
    assert time.monotonic() - begin < 10, (call, values)

def fill(call, given):
    # The right objects where they belong, more often than not, so that the rest is reached.
    values = []
    for name in list(inspect.signature(call).parameters)[:given]:
        right = {"qpair": qpair, "buf": buf, "nvme": nvme0, "pcie": pcie}.get(name)
        values.append(right if right is not None and chance.random() < 0.8 else chance.choice(VALUES))
    return values
"""


@pytest.mark.parametrize("seed", range(2))
def test_methods(safely, seed):
    said = safely(
        ARGUMENTS
        + """
count = 0
for turn in range(15):
    for thing, name in targets():
        if qpair.sqid == 0 or count % 40 == 0:
            qpair.delete()
            qpair = d.Qpair(nvme0, 64)
        if turn % 5 == 0:
            nvme0.timeout = 10000
        thing = qpair if isinstance(thing, d.Qpair) else thing
        count += 1
        if not callable(getattr(type(thing), name)):
            attempt(setattr, thing, name, chance.choice(VALUES))
            attempt(getattr, thing, name)
            continue
        call = getattr(thing, name)
        attempt(call, *fill(call, chance.randrange(8)))
    buf.size, buf.offset = 4096, 0
    # The admin queue takes 127 at a time: start anew.
    qpair.delete()
    pcie.close()
    pcie = d.Pcie(address)
    nvme0 = d.Controller(pcie)
    nvme0n1 = d.Namespace(nvme0)
    qpair = d.Qpair(nvme0, 64)
nvme0n1.read(qpair, d.Buffer(512), 0).waitdone()
print(count > 1000)
""",
        str(seed),
        timeout=60,
    )
    assert said == "True\n"


def test_constructors_and_functions(safely):
    said = safely(
        ARGUMENTS
        + """
def small(value):
    # Buffers of terabytes are refused, those of gigabytes are only slow.
    return not isinstance(value, (int, float)) or not 2**28 < value < 2**40
for turn in range(1500):
    for cls in (d.Buffer, d.Controller, d.Qpair, d.Namespace, d.Subsystem):
        values = fill(cls, chance.randrange(5))
        if cls is not d.Buffer or not values or small(values[0]):
            attempt(cls, *values)
    attempt(d.transport_available, chance.choice(VALUES))
    attempt(d._nvme.set_default_address, None)
    if turn % 10 == 0:
        where = chance.choice([*VALUES, "127.0.0.1:1", "256.0.0.1", "[::1]:4420"])
        attempt(chance.choice([d.Pcie, d.Tcp]), where, chance.choice(VALUES), timeout=chance.choice([0.05, 0, -1, 1e-9]))
qpair = d.Qpair(nvme0, 64)
d.Namespace(nvme0).read(qpair, d.Buffer(512), 0).waitdone()
print("on")
""",
        "0",
        timeout=90,
    )
    assert said == "on\n"


def test_workers(safely):
    said = safely(
        ARGUMENTS
        + """
names = list(inspect.signature(nvme0n1.ioworker).parameters)
for turn in range(250):
    named = dict(io_size=8, io_count=10, qdepth=4)
    named.update((name, chance.choice(VALUES)) for name in chance.sample(names, chance.choice([1, 2, 3])))
    named.pop("fw_debug", None)
    def attempt_worker():
        worker = nvme0n1.ioworker(**named).start()
        end = time.monotonic() + 0.3
        while worker.running and time.monotonic() < end:
            time.sleep(0.001)
        if not worker.running:
            worker.close()
    attempt(attempt_worker)
    gc.collect()
print(nvme0n1.ioworker(io_size=8, io_count=10).start().close().io_count_read)
""",
        "0",
        timeout=90,
    )
    assert said == "10\n"
