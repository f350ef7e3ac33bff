"""The Python side of `make bench`: answers requests about what a call costs, a line of JSON each."""

import json
import os
import random
import statistics
import sys
import time

import nvme as d

BLOCKS = 8  # 4 KiB


class Calls:
    """One queue, one buffer, and what scripts do with them."""

    def __init__(self, address, nsid):
        self.nvme0 = d.Controller(d.Pcie(address))
        self.nvme0n1 = d.Namespace(self.nvme0, nsid)
        self.qpair = d.Qpair(self.nvme0, 256)
        self.buf = d.Buffer(4096)
        places = self.nvme0n1.id_data(7, 0) // BLOCKS
        self.lbas = [BLOCKS * random.randrange(places) for _ in range(1024)]

    def reads(self, queued, seconds):
        """Reads of 4 KiB per second: so many queued, then waited for."""
        read, waitdone = self.nvme0n1.read, self.qpair.waitdone
        qpair, buf, lbas = self.qpair, self.buf, self.lbas
        begin = time.perf_counter()
        done = 0
        while (now := time.perf_counter()) < begin + seconds:
            if queued == 1:
                for lba in lbas[:128]:
                    read(qpair, buf, lba, BLOCKS).waitdone()
            else:
                for lba in lbas[:queued]:
                    read(qpair, buf, lba, BLOCKS)
                waitdone(queued)
            done += 128 if queued == 1 else queued
        return done / (now - begin)

    def costs(self):
        """Microseconds per call, the median of several rounds."""
        nvme0, buf = self.nvme0, self.buf
        content = bytes(4096)

        def assign():
            buf[:] = content

        calls = {
            "getfeatures_us": lambda: nvme0.getfeatures(7).waitdone(),
            "id_data_us": lambda: nvme0.id_data(63, 24, str),
            "buffer_us": lambda: d.Buffer(4096),
            "buf_read_us": lambda: buf[:],
            "buf_write_us": assign,
            "buf_dump_us": buf.dump,
            "qpair_us": lambda: d.Qpair(nvme0, 16).delete(),
        }
        return {name: cost(call) for name, call in calls.items()}


def cost(call, rounds=15, span=0.05):
    """Microseconds that a call takes."""
    call()
    times = []
    for _ in range(rounds):
        count, begin = 0, time.perf_counter()
        while (now := time.perf_counter()) < begin + span:
            call()
            count += 1
        times.append((now - begin) / count * 1e6)
    return statistics.median(times)


def main(address, nsid, cpu):
    os.sched_setaffinity(0, {int(cpu)})
    calls = Calls(address, int(nsid))
    for line in sys.stdin:
        request = json.loads(line)
        what = request.pop("do")
        print(json.dumps(getattr(calls, what)(**request)), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
