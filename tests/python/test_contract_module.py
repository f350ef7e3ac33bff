"""The contract's section 1: names, exceptions, srand, integers, the rules of waiting."""

import builtins
import logging
import random
import types
import warnings

import nvme as d
import pytest

EXCEPTIONS = [
    "NvmeShutdownStatusTimeoutError",
    "NvmeEnumerateError",
    "NvmeDeletionError",
    "QpairCreationError",
    "QpairDeletionError",
    "NamespaceCreationError",
    "NamespaceDeletionError",
]
MODULES = [
    "os",
    "gc",
    "sys",
    "time",
    "glob",
    "math",
    "atexit",
    "signal",
    "struct",
    "random",
    "logging",
    "warnings",
    "datetime",
    "statistics",
    "subprocess",
    "multiprocessing",
]


def test_names():
    assert d.__version__ == "2.3.2" and d.__author__ and d._cTIMEOUT == 10
    assert not hasattr(d, "__all__") and not hasattr(d, "Tcg")
    assert all(isinstance(getattr(d, name), types.ModuleType) for name in MODULES)
    assert d._IOWorker and issubclass(d._DotDict, dict)


@pytest.mark.parametrize("name", EXCEPTIONS)
def test_exceptions_are_of_the_module_alone(name):
    assert getattr(d, name).__bases__ == (Exception,)


@pytest.mark.parametrize("name", ["Buffer", "Pcie", "Controller", "Qpair", "Namespace", "Subsystem"])
def test_classes_have_subclasses(name):
    class Sub(getattr(d, name)):
        extra = 1

    assert Sub.extra == 1 and issubclass(Sub, getattr(d, name))


def test_subclasses_of_queues_and_namespaces_work(nvme0):
    class Queue(d.Qpair):
        def __init__(self, nvme, depth):
            self.mine = depth

    class Space(d.Namespace):
        pass

    queue, space = Queue(nvme0, 8), Space(nvme0)
    assert queue.mine == 8
    space.read(queue, d.Buffer(512), 0).waitdone()
    queue.delete()
    space.close()


def test_arguments_that_are_objects_have_a_type(nvme0, nvme0n1, qpair, buf):
    for use in (
        lambda: d.Controller(None),
        lambda: d.Qpair(None, 8),
        lambda: d.Namespace(None),
        lambda: d.Subsystem(None),
        lambda: nvme0n1.read(None, buf, 0),
        lambda: nvme0n1.read(qpair, b"bytes", 0),
        lambda: nvme0.identify(None),
        lambda: nvme0.getlogpage(2, None),
    ):
        with pytest.raises(TypeError):
            use()


def test_srand(caplog):
    caplog.set_level(logging.INFO)
    d.srand(0xABC)
    first = random.random()
    d.srand(0xABC)
    assert random.random() == first
    assert "setup random seed: 0xabc" in caplog.messages


def test_the_same_seed_gives_the_same_commands(nvme0n1):
    def lbas(seed):
        d.srand(seed)
        log = [None] * 50
        nvme0n1.ioworker(io_size=1, io_count=50, qdepth=2, output_cmdlog_list=log).start().close()
        return log

    assert lbas(5) == lbas(5) != lbas(6)


def test_integers(nvme0, nvme0n1, qpair, buf):
    class Number:
        def __int__(self):
            return 7

    class Index:
        def __index__(self):
            return 7

    for seven in (7, 7.9, Number(), Index()):
        nvme0.getfeatures(seven).waitdone()
        assert nvme0.cmdlog_entries(1)[0]["sqe"][10] == 7
        nvme0n1.read(qpair, buf, seven).waitdone()
        assert qpair.cmdlog_entries(1)[0]["sqe"][10] == 7
    for large in (-1, 1 << 32, float("inf")):
        with pytest.raises(OverflowError):
            nvme0.getfeatures(large)
    for none in ("7", b"7", None, []):
        with pytest.raises(TypeError):
            nvme0.getfeatures(none)


def test_flags_are_anything_true_or_false(nvme0, nvme0n1):
    assert nvme0n1.verify_enable(1) and nvme0n1.verify_enable(0)
    queue = d.Qpair(nvme0, 8, ien=0, iv=3)
    nvme0n1.zns_mgmt_send(queue, None, all=1)
    queue.delete()


def test_waiting_for_nothing(nvme0, qpair):
    assert nvme0.waitdone(0) == qpair.waitdone(0)


def test_the_latest_dword_is_that_of_any_queue(nvme0, nvme0n1, qpair, buf):
    feature = nvme0.getfeatures(7).waitdone()
    assert feature and qpair.waitdone(0) == feature
    assert nvme0n1.read(qpair, buf, 0).waitdone() == 0 == nvme0.waitdone(0)


def test_both_forms_of_a_callback(nvme0):
    seen = []
    nvme0.getfeatures(7, cb=lambda cpl: seen.append(cpl)).waitdone()
    dword0 = nvme0.getfeatures(7, cb=lambda cdw0, status: seen.append((cdw0, status))).waitdone()
    (completion, (cdw0, status)) = seen
    assert isinstance(completion, tuple) and len(completion) == 4
    assert completion[0] == cdw0 == dword0
    assert completion[2] >> 16 == 0 and status >> 1 == 0
    assert completion[3] & 0xFFFF == nvme0.cmdlog_entries(2)[1]["sqe"][0] >> 16


def test_the_status_has_the_phase_tag_in_bit_0(nvme0):
    seen = []
    with pytest.warns(UserWarning, match="^ERROR status: 00/01$"):
        nvme0.send_cmd(0xFF, cb=lambda cdw0, status: seen.append(status)).waitdone()
    assert seen[0] >> 1 & 0xFF == 0x01 and seen[0] >> 9 & 7 == 0


def test_a_warning_comes_with_and_without_a_callback_and_after_it(nvme0):
    order = []
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_: order.append(str(message))
        nvme0.send_cmd(0xFF, cb=lambda cpl: order.append("callback")).waitdone()
        nvme0.send_cmd(0xFF).waitdone()
    assert order == ["callback", "ERROR status: 00/01", "ERROR status: 00/01"]


@pytest.mark.parametrize("cb", [5, "print", [print], 0, False])
def test_what_cannot_be_called_is_refused_at_submission(nvme0, nvme0n1, qpair, buf, cb):
    for use in (
        lambda: nvme0.getfeatures(7, cb=cb),
        lambda: nvme0.aer(cb=cb),
        lambda: nvme0n1.read(qpair, buf, 0, cb=cb),
        lambda: nvme0n1.flush(qpair, cb=cb),
    ):
        before = len(nvme0.cmdlog_entries()) + len(qpair.cmdlog_entries())
        with pytest.raises(AssertionError):
            use()
        assert len(nvme0.cmdlog_entries()) + len(qpair.cmdlog_entries()) == before


def test_reentry_leaves_no_trace(nvme0, nvme0n1, qpair, buf):
    with pytest.warns(
        UserWarning, match=r"^ASSERT: cannot re-entry waitdone\(\) functions which may be caused by"
    ):
        nvme0n1.read(qpair, buf, 0, cb=lambda cpl: nvme0.waitdone(0)).waitdone()

    def wrong(cpl):
        raise builtins.KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        nvme0n1.read(qpair, buf, 0, cb=wrong).waitdone()
    nvme0n1.read(qpair, buf, 0).waitdone()
    nvme0.getfeatures(7).waitdone()
