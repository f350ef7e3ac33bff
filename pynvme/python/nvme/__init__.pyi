"""Types of the module: what it defines, and what scripts of the original find in it."""

import atexit as atexit
import datetime as datetime
import gc as gc
import glob as glob
import logging as logging
import math as math
import multiprocessing as multiprocessing
import os as os
import random as random
import signal as signal
import statistics as statistics
import struct as struct
import subprocess as subprocess
import sys as sys
import time as time
import warnings as warnings
from typing import Final

from . import _nvme as _nvme
from ._nvme import Buffer as Buffer
from ._nvme import Controller as Controller
from ._nvme import Decoded as Decoded
from ._nvme import DiscoveryEntry as DiscoveryEntry
from ._nvme import Namespace as Namespace
from ._nvme import NamespaceCreationError as NamespaceCreationError
from ._nvme import NamespaceDeletionError as NamespaceDeletionError
from ._nvme import NvmeDeletionError as NvmeDeletionError
from ._nvme import NvmeEnumerateError as NvmeEnumerateError
from ._nvme import NvmeShutdownStatusTimeoutError as NvmeShutdownStatusTimeoutError
from ._nvme import Pcie as Pcie
from ._nvme import Qpair as Qpair
from ._nvme import QpairCreationError as QpairCreationError
from ._nvme import QpairDeletionError as QpairDeletionError
from ._nvme import Subsystem as Subsystem
from ._nvme import Target as Target
from ._nvme import Tcp as Tcp
from ._nvme import _IOWorker as _IOWorker
from ._nvme import decode as decode
from ._nvme import discover as discover
from ._nvme import environment as environment
from ._nvme import spdk_version as spdk_version
from ._nvme import transport_available as transport_available
from ._result import _DotDict as _DotDict

__version__: Final[str]
__author__: Final[str]
_cTIMEOUT: Final[int]
_seed: int | None

def srand(seed: int) -> None: ...
