"""What a process has taken from the system, and that it does not take more and more."""

import ctypes
import gc
import os
import pathlib

import nvme as d
from sysfs import BEHIND_IOMMU


class _Mallinfo2(ctypes.Structure):
    # Among them uordblks, bytes in use, and hblkhd, those that have a mapping of their own.
    _fields_ = [("numbers", ctypes.c_size_t * 10)]


_libc = ctypes.CDLL(None)
_libc.mallinfo2.restype = _Mallinfo2


def heap():
    """Bytes that somebody has allocated with malloc, Rust and SPDK among them."""
    numbers = _libc.mallinfo2().numbers
    return numbers[4] + numbers[7]


# What may come and go between two looks at the same state, in bytes: padding and caches of allocators, Python's tables,
# stacks that the C library keeps for the next thread, in pages of 2 MiB where the kernel chooses to.
NOISE = {"dma": 512, "heap": 32 << 10, "resident": 4 << 20}
# Bytes of DPDK's struct mapped_pci_resource.
MAPPING = 4608


def taken():
    """Files, threads, bytes of hugepages, of DMA memory, of the heap, and of all memory but that of files."""
    gc.collect()
    # What is free already does not count; each round has threads of its own, which free in several places.
    _libc.malloc_trim(0)
    status = dict(line.split(":", 1) for line in pathlib.Path("/proc/self/status").read_text().splitlines())
    return {
        "files": len(os.listdir("/proc/self/fd")),
        "threads": int(status["Threads"]),
        "hugepages": int(status["HugetlbPages"].split()[0]) << 10,
        "dma": d.environment()["memory"],
        "heap": heap(),
        "resident": int(status["RssAnon"].split()[0]) << 10,
    }


class Steady:
    """Asserts over rounds that nothing leaks: the second half takes no more than the first has taken."""

    def __init__(self, rounds):
        self._rounds = rounds
        self._seen = []

    def __iter__(self):
        for number in range(self._rounds):
            yield number
            self._seen.append(taken())
        half = self._rounds // 2
        for name in self._seen[0]:
            before, after = (
                max(seen[name] for seen in part) for part in (self._seen[:half], self._seen[half:])
            )
            # DPDK 20.05 forgets to free what it knows of a mapping by VFIO (pci_vfio_unmap_resource), once per attachment.
            kept = MAPPING * (self._rounds - half) if name == "dma" and BEHIND_IOMMU else 0
            assert after <= before + NOISE.get(name, 0) + kept, (
                f"{name} grows: {[seen[name] for seen in self._seen]}"
            )
