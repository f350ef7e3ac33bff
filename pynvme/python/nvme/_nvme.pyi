"""Types of the driver behind the module nvme."""

from collections.abc import Callable, Iterable, Iterator
from os import PathLike
from types import TracebackType
from typing import (
    Any,
    Final,
    Literal,
    SupportsFloat,
    SupportsIndex,
    SupportsInt,
    TypedDict,
    final,
    overload,
    type_check_only,
)

from typing_extensions import Self, TypeAlias, disjoint_base

from ._result import _DotDict

# An integer argument takes all that has __int__: a float is truncated, as scripts of the original expect.
_Int: TypeAlias = SupportsInt

# Called with the four dwords of the completion, or with dword 0 and the 16 bits of status and phase tag.
_Callback: TypeAlias = Callable[[tuple[int, int, int, int]], object] | Callable[[int, int], object]

# Microseconds since the start, opcode, first block, number of blocks.
_SequenceRow: TypeAlias = tuple[SupportsFloat, _Int, _Int, _Int]

@type_check_only
class CmdlogEntry(TypedDict):
    """A command of the command log."""

    submitted: str
    command: str
    sqe: list[int]
    completion: str | None
    cqe: list[int] | None
    latency_us: float | None

@type_check_only
class DecodedField(TypedDict):
    """A field, as Decoded.as_dict() has it."""

    name: str
    title: str
    value: int | str
    meaning: str | None

@type_check_only
class DecodedDict(TypedDict):
    """What Decoded.as_dict() returns."""

    name: str
    fields: list[DecodedField]
    parts: list[DecodedDict]

@type_check_only
class Environment(TypedDict):
    """What runs: see environment()."""

    hugepages: bool
    pci: bool
    memory: int

class NvmeEnumerateError(Exception): ...
class NvmeDeletionError(Exception): ...
class NvmeShutdownStatusTimeoutError(Exception): ...
class QpairCreationError(Exception): ...
class QpairDeletionError(Exception): ...
class NamespaceCreationError(Exception): ...
class NamespaceDeletionError(Exception): ...

spdk_version: Final[str]

def transport_available(name: str) -> bool: ...
def environment(hugepages: bool | None = None, megabytes: _Int | None = None) -> Environment: ...
def serve() -> None: ...
def decode(
    data: Buffer | bytes | bytearray | Iterable[SupportsInt] | int,
    kind: str | None = None,
    qid: _Int = 1,
    command: Buffer | bytes | bytearray | Iterable[SupportsInt] | None = None,
) -> Decoded: ...
def observe_workers(observer: Callable[[str], object] | None = None) -> None: ...
def survey() -> list[dict[str, Any]]: ...
def last_commands(most: int) -> list[dict[str, Any]]: ...
def set_default_address(provider: Callable[[], str] | None) -> None: ...

@final
class Decoded:
    @property
    def name(self) -> str: ...
    @property
    def fields(self) -> list[Field]: ...
    @property
    def parts(self) -> list[Decoded]: ...
    def as_dict(self) -> DecodedDict: ...
    # Any, as it is known from the specification whether a field is an int, str or bytes.
    def __getitem__(self, name: str, /) -> Any: ...
    def __contains__(self, name: str, /) -> bool: ...

@final
class Field:
    @property
    def name(self) -> str: ...
    @property
    def title(self) -> str: ...
    @property
    def value(self) -> int | str | bytes: ...
    @property
    def meaning(self) -> str | None: ...

@disjoint_base
class Buffer:
    def __new__(cls, size: _Int = 4096, name: str = "buffer", pvalue: _Int = 0, ptype: _Int = 0) -> Self: ...
    @property
    def size(self) -> int: ...
    @size.setter
    def size(self, value: _Int) -> None: ...
    @property
    def offset(self) -> int: ...
    @offset.setter
    def offset(self, value: _Int) -> None: ...
    @property
    def phys_addr(self) -> int: ...
    @property
    def data_head(self) -> bytes: ...
    @property
    def data_tail(self) -> bytes: ...
    @overload
    def data(self, byte_end: _Int, byte_begin: _Int | None = None, type: type[int] | None = None) -> int: ...
    @overload
    def data(self, byte_end: _Int, byte_begin: _Int | None, type: type[str]) -> str: ...
    @overload
    def data(self, byte_end: _Int, *, type: type[str]) -> str: ...
    def dump(self, size: _Int | None = None) -> str: ...
    def set_dsm_range(self, index: _Int, lba: int, lba_count: int, attr: _Int = 0) -> None: ...
    def __len__(self) -> int: ...
    def __iter__(self) -> Iterator[int]: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> bytes: ...
    @overload
    def __setitem__(self, key: int, value: SupportsIndex, /) -> None: ...
    @overload
    def __setitem__(self, key: slice, value: Iterable[SupportsIndex], /) -> None: ...

@disjoint_base
class Pcie:
    def __new__(cls, addr: str, port: _Int = 0, *, nqn: str | None = None, timeout: float = 10.0) -> Self: ...
    def close(self) -> None: ...
    def reset(self, rst_fn: Callable[[], object] | None = None) -> Literal[True]: ...
    def flr(self) -> Literal[True]: ...
    def _bind_driver(self, name: str) -> None: ...
    def _rescan(self) -> None: ...
    def register(self, offset: _Int, byte_count: _Int = 4) -> int: ...
    def cap_offset(self, cap_id: _Int) -> int | None: ...
    @property
    def aspm(self) -> int: ...
    @aspm.setter
    def aspm(self, value: _Int) -> None: ...
    @property
    def power_state(self) -> int: ...
    @power_state.setter
    def power_state(self, value: _Int) -> None: ...
    @overload
    def __getitem__(self, key: int, /) -> int: ...
    @overload
    def __getitem__(self, key: slice, /) -> list[int]: ...
    def __setitem__(self, key: int, value: _Int, /) -> None: ...

class Tcp(Pcie):
    def __new__(
        cls, addr: str, port: _Int = 4420, *, nqn: str | None = None, timeout: float = 10.0
    ) -> Self: ...

@disjoint_base
class Controller:
    def __new__(
        cls, pcie: Pcie, nvme_init_func: Literal[True] | Callable[[Controller], object] | None = None
    ) -> Self: ...
    def __init__(
        self, pcie: Pcie, nvme_init_func: Literal[True] | Callable[[Controller], object] | None = None
    ) -> None: ...
    @property
    def addr(self) -> str: ...
    @property
    def cap(self) -> int: ...
    @property
    def timeout(self) -> int: ...
    @timeout.setter
    def timeout(self, value: _Int) -> None: ...
    @property
    def mdts(self) -> int: ...
    @property
    def latest_cid(self) -> int: ...
    @property
    def latest_latency(self) -> int: ...
    def __getitem__(self, key: int, /) -> int: ...
    def __setitem__(self, key: int, value: _Int, /) -> None: ...
    def init_adminq(self) -> int: ...
    def init_ns(self) -> int: ...
    def init_queues(self, cdw0: _Int) -> None: ...
    def reset(self) -> None: ...
    def waitdone(self, expected: _Int = 1) -> int: ...
    def cmdlog(self, count: _Int = 0) -> None: ...
    def cmdlog_entries(self, count: _Int = 0) -> list[CmdlogEntry]: ...
    @staticmethod
    def cmdname(opcode: _Int) -> str: ...
    def supports(self, opcode: _Int) -> bool: ...
    def abort(self, cid: _Int, sqid: _Int = 0, cb: _Callback | None = None) -> Self: ...
    def aer(self, cb: _Callback | None = None) -> Self: ...
    def identify(
        self,
        buf: Buffer,
        nsid: _Int = 0,
        cns: _Int = 1,
        cntid: _Int = 0,
        csi: _Int = 0,
        nvmsetid: _Int = 0,
        cb: _Callback | None = None,
    ) -> Self: ...
    @overload
    def id_data(
        self,
        byte_end: _Int,
        byte_begin: _Int | None = None,
        type: type[int] | None = None,
        nsid: _Int = 0,
        cns: _Int = 1,
        cntid: _Int = 0,
        csi: _Int = 0,
        nvmsetid: _Int = 0,
    ) -> int: ...
    @overload
    def id_data(
        self,
        byte_end: _Int,
        byte_begin: _Int | None,
        type: type[str],
        nsid: _Int = 0,
        cns: _Int = 1,
        cntid: _Int = 0,
        csi: _Int = 0,
        nvmsetid: _Int = 0,
    ) -> str: ...
    @overload
    def id_data(
        self,
        byte_end: _Int,
        *,
        type: type[str],
        nsid: _Int = 0,
        cns: _Int = 1,
        cntid: _Int = 0,
        csi: _Int = 0,
        nvmsetid: _Int = 0,
    ) -> str: ...
    def getfeatures(
        self,
        fid: _Int,
        sel: _Int = 0,
        buf: Buffer | None = None,
        cdw11: _Int = 0,
        cdw12: _Int = 0,
        cdw13: _Int = 0,
        cdw14: _Int = 0,
        cdw15: _Int = 0,
        cb: _Callback | None = None,
    ) -> Self: ...
    def setfeatures(
        self,
        fid: _Int,
        sv: _Int = 0,
        buf: Buffer | None = None,
        cdw11: _Int = 0,
        cdw12: _Int = 0,
        cdw13: _Int = 0,
        cdw14: _Int = 0,
        cdw15: _Int = 0,
        cb: _Callback | None = None,
    ) -> Self: ...
    def getlogpage(
        self,
        lid: _Int,
        buf: Buffer,
        size: _Int | None = None,
        offset: _Int = 0,
        nsid: _Int = 0xFFFFFFFF,
        cb: _Callback | None = None,
    ) -> Self: ...
    def mi_send(
        self,
        opcode: _Int,
        dword0: _Int = 0,
        dword1: _Int = 0,
        buf: Buffer | None = None,
        mtype: _Int = 1,
        cb: _Callback | None = None,
    ) -> Self: ...
    def mi_receive(
        self,
        opcode: _Int,
        dword0: _Int = 0,
        dword1: _Int = 0,
        buf: Buffer | None = None,
        mtype: _Int = 1,
        cb: _Callback | None = None,
    ) -> Self: ...
    def format(self, lbaf: _Int = 0, ses: _Int = 0, nsid: _Int = 1, cb: _Callback | None = None) -> Self: ...
    def sanitize(self, option: _Int = 2, pattern: _Int = 0, cb: _Callback | None = None) -> Self: ...
    def dst(self, stc: _Int = 1, nsid: _Int = 0xFFFFFFFF, cb: _Callback | None = None) -> Self: ...
    def fw_download(
        self, buf: Buffer, offset: _Int, size: _Int | None = None, cb: _Callback | None = None
    ) -> Self: ...
    def fw_commit(self, slot: _Int, action: _Int, cb: _Callback | None = None) -> Self: ...
    def downfw(self, filename: str | PathLike[str], slot: _Int = 0, action: _Int = 1) -> None: ...
    def security_receive(
        self,
        buf: Buffer,
        spsp: _Int,
        secp: _Int = 1,
        nssf: _Int = 0,
        size: _Int | None = None,
        cb: _Callback | None = None,
    ) -> Self: ...
    def security_send(
        self,
        buf: Buffer,
        spsp: _Int,
        secp: _Int = 1,
        nssf: _Int = 0,
        size: _Int | None = None,
        cb: _Callback | None = None,
    ) -> Self: ...
    def send_cmd(
        self,
        opcode: _Int,
        buf: Buffer | None = None,
        nsid: _Int = 0,
        cdw10: _Int = 0,
        cdw11: _Int = 0,
        cdw12: _Int = 0,
        cdw13: _Int = 0,
        cdw14: _Int = 0,
        cdw15: _Int = 0,
        cb: _Callback | None = None,
    ) -> Self: ...

@disjoint_base
class Qpair:
    def __new__(
        cls, nvme: Controller, depth: _Int, prio: _Int = 0, ien: bool = True, iv: _Int = 0xFFFF
    ) -> Self: ...
    @property
    def sqid(self) -> int: ...
    @property
    def latest_cid(self) -> int: ...
    @property
    def latest_latency(self) -> int: ...
    def waitdone(self, expected: _Int = 1) -> int: ...
    def cmdlog(self, count: _Int = 0) -> None: ...
    def cmdlog_entries(self, count: _Int = 0) -> list[CmdlogEntry]: ...
    def msix_isset(self) -> bool: ...
    def msix_clear(self) -> None: ...
    def msix_mask(self) -> None: ...
    def msix_unmask(self) -> None: ...
    def delete(self) -> None: ...
    def close(self) -> None: ...

@disjoint_base
class Namespace:
    def __new__(cls, nvme: Controller, nsid: _Int = 1, nlba_verify: _Int = 0) -> Self: ...
    @property
    def nsid(self) -> int: ...
    @property
    def capacity(self) -> int: ...
    def close(self) -> None: ...
    @staticmethod
    def cmdname(opcode: _Int) -> str: ...
    def supports(self, opcode: _Int) -> bool: ...
    @overload
    def id_data(
        self,
        byte_end: _Int,
        byte_begin: _Int | None = None,
        type: type[int] | None = None,
        cns: _Int = 0,
        csi: _Int = 0,
        cntid: _Int = 0,
    ) -> int: ...
    @overload
    def id_data(
        self,
        byte_end: _Int,
        byte_begin: _Int | None,
        type: type[str],
        cns: _Int = 0,
        csi: _Int = 0,
        cntid: _Int = 0,
    ) -> str: ...
    @overload
    def id_data(
        self, byte_end: _Int, *, type: type[str], cns: _Int = 0, csi: _Int = 0, cntid: _Int = 0
    ) -> str: ...
    def verify_enable(self, enable: bool = True) -> bool: ...
    def get_lba_format(self, data_size: _Int = 512, meta_size: _Int = 0) -> int | None: ...
    def format(self, data_size: _Int = 512, meta_size: _Int = 0, ses: _Int = 0) -> int: ...
    def read(
        self,
        qpair: Qpair,
        buf: Buffer,
        lba: _Int,
        lba_count: _Int = 1,
        io_flags: _Int = 0,
        dword13: _Int = 0,
        dword14: _Int = 0,
        dword15: _Int = 0,
        cb: _Callback | None = None,
    ) -> Qpair: ...
    def write(
        self,
        qpair: Qpair,
        buf: Buffer,
        lba: _Int,
        lba_count: _Int = 1,
        io_flags: _Int = 0,
        dword13: _Int = 0,
        dword14: _Int = 0,
        dword15: _Int = 0,
        cb: _Callback | None = None,
    ) -> Qpair: ...
    def compare(
        self,
        qpair: Qpair,
        buf: Buffer,
        lba: _Int,
        lba_count: _Int = 1,
        io_flags: _Int = 0,
        cb: _Callback | None = None,
    ) -> Qpair: ...
    def verify(
        self, qpair: Qpair, lba: _Int, lba_count: _Int = 1, io_flags: _Int = 0, cb: _Callback | None = None
    ) -> Qpair: ...
    def write_uncorrectable(
        self, qpair: Qpair, lba: _Int, lba_count: _Int = 1, cb: _Callback | None = None
    ) -> Qpair: ...
    def write_zeroes(
        self, qpair: Qpair, lba: _Int, lba_count: _Int = 1, io_flags: _Int = 0, cb: _Callback | None = None
    ) -> Qpair: ...
    def flush(self, qpair: Qpair, cb: _Callback | None = None) -> Qpair: ...
    def dsm(
        self, qpair: Qpair, buf: Buffer, range_count: _Int, attribute: _Int = 4, cb: _Callback | None = None
    ) -> Qpair: ...
    def zns_mgmt_receive(
        self,
        qpair: Qpair,
        buf: Buffer,
        slba: _Int = 0,
        dwords: _Int | None = None,
        extended: bool = True,
        state: _Int = 0,
        partial: bool = True,
        cb: _Callback | None = None,
    ) -> Qpair: ...
    def zns_mgmt_send(
        self,
        qpair: Qpair,
        buf: Buffer | None,
        slba: _Int = 0,
        action: _Int = 0,
        all: bool = False,
        cb: _Callback | None = None,
    ) -> Qpair: ...
    def send_cmd(
        self,
        opcode: _Int,
        qpair: Qpair,
        buf: Buffer | None = None,
        nsid: _Int = 1,
        cdw10: _Int = 0,
        cdw11: _Int = 0,
        cdw12: _Int = 0,
        cdw13: _Int = 0,
        cdw14: _Int = 0,
        cdw15: _Int = 0,
        cb: _Callback | None = None,
    ) -> Qpair: ...
    def ioworker(
        self,
        io_size: _Int | Iterable[int] | dict[int, int] = 8,
        lba_step: _Int | None = None,
        lba_align: _Int | list[int] | None = None,
        lba_random: int = True,
        read_percentage: _Int = 100,
        op_percentage: dict[int, int] | None = None,
        time: _Int = 0,
        qdepth: _Int = 64,
        region_start: _Int = 0,
        region_end: _Int = 0xFFFFFFFFFFFFFFFF,
        iops: _Int = 0,
        io_count: _Int = 0,
        lba_start: _Int = 0,
        qprio: _Int = 0,
        distribution: list[int] | None = None,
        ptype: _Int = 0xBEEF,
        pvalue: _Int = 100,
        io_sequence: Iterable[_SequenceRow] | None = None,
        fw_debug: bool = False,
        output_io_per_second: list[int] | None = None,
        output_percentile_latency: dict[Any, int] | None = None,
        output_cmdlog_list: list[Any] | None = None,
    ) -> _IOWorker: ...

@final
class _IOWorker:
    @property
    def op_counter(self) -> dict[int, int]: ...
    @property
    def output_io_per_second(self) -> list[int] | None: ...
    @property
    def output_percentile_latency(self) -> dict[float, int] | None: ...
    @property
    def output_cmdlog_list(self) -> list[tuple[int, int, int]] | None: ...
    @property
    def fw_debug(self) -> bool: ...
    def start(self) -> Self: ...
    @property
    def running(self) -> bool: ...
    @property
    def completed(self) -> int: ...
    def close(self) -> _DotDict: ...
    def iops_consistency(self, slowest_percentage: float = 99.9) -> float: ...
    @staticmethod
    def find_percentile_latency(k: float, histogram: list[int]) -> int: ...
    def __enter__(self) -> Self: ...
    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        _traceback: TracebackType | None,
        /,
    ) -> None: ...

@disjoint_base
class Subsystem:
    def __new__(
        cls,
        nvme: Controller,
        poweron_cb: Callable[[], object] | None = None,
        poweroff_cb: Callable[[], object] | None = None,
    ) -> Self: ...
    def poweroff(self) -> bool: ...
    def poweron(self) -> bool: ...
    def power_cycle(self, sec: int = 10) -> bool | None: ...
    def shutdown_notify(self, abrupt: bool = False) -> None: ...
    def reset(self) -> bool: ...

@final
class Target:
    def __new__(
        cls,
        port: _Int = 0,
        megabytes: _Int = 256,
        namespaces: _Int = 1,
        block_size: _Int = 512,
        io_queues: _Int = 32,
    ) -> Self: ...
    @property
    def address(self) -> str: ...
    @property
    def subnqn(self) -> str | None: ...
    @property
    def pid(self) -> int | None: ...
    @property
    def running(self) -> bool: ...
    def rpc(self, method: str, params: dict[str, Any] | None = None) -> Any: ...
    def stop(self) -> None: ...
    def __enter__(self) -> Self: ...
    def __exit__(self, *_exception: object) -> None: ...
