"""NVMe test driver: pynvme's API on SPDK, with and without an SSD.

    import nvme as d

    pcie = d.Pcie("192.168.1.7")          # an NVMe/TCP target, or "01:00.0"
    nvme0 = d.Controller(pcie)
    qpair = d.Qpair(nvme0, 16)
    buf = d.Buffer(4096)
    d.Namespace(nvme0).read(qpair, buf, 0, 8).waitdone()
    print(buf.dump(64))

Importing starts nothing and needs no privileges: SPDK starts with the first buffer or device.
"""

# Test scripts of the original find these modules here, also through `from nvme import *`.
import atexit
import datetime
import gc
import glob
import logging
import math
import multiprocessing
import os
import random
import signal
import statistics
import struct
import subprocess
import sys
import time
import warnings

from . import _nvme
from ._nvme import (
    Buffer,
    Controller,
    Decoded,
    DiscoveryEntry,
    Namespace,
    NamespaceCreationError,
    NamespaceDeletionError,
    NvmeDeletionError,
    NvmeEnumerateError,
    NvmeShutdownStatusTimeoutError,
    Pcie,
    Qpair,
    QpairCreationError,
    QpairDeletionError,
    Subsystem,
    Target,
    Tcp,
    _IOWorker,
    decode,
    discover,
    environment,
    spdk_version,
    transport_available,
)
from ._result import _DotDict

# The version of the original whose API this is.
__version__ = "2.3.2"
__author__ = "the nvme-spdk project"

_cTIMEOUT = 10

# What srand() was given last: reports tell it.
_seed = None


def srand(seed):
    """Seed Python's random numbers, and with them the seed of every worker that is made afterwards.

    Parameters
    ----------
    seed : int
        The same seed gives the same commands in the same workers.
    """
    global _seed
    _nvme.serve()
    _seed = seed
    logging.info("setup random seed: 0x%x", seed)
    random.seed(seed)
