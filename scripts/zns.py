"""Zones of a zoned namespace (Zoned Namespace Command Set Specification).

zone = Zone(qpair, ns, 0)
zone.reset()
zone.open()
zone.append(qpair, buf).waitdone()
print(zone)
"""

from nvme import Buffer

STATES = {
    0x1: "Empty",
    0x2: "Implicitly Opened",
    0x3: "Explicitly Opened",
    0x4: "Closed",
    0xD: "Read Only",
    0xE: "Full",
    0xF: "Offline",
}

CLOSE, FINISH, OPEN, RESET, OFFLINE, SET_DESCRIPTOR_EXTENSION = 1, 2, 3, 4, 5, 0x10

ZONE_APPEND = 0x7D

# Where the first descriptor of a zone report begins.
DESCRIPTOR = 64
SEQUENTIAL_WRITE_REQUIRED = 2

# As many blocks as a command can be about.
MOST_BLOCKS = 0x10000

# When Identify does not say how large zones are.
USUAL_ZONE_SIZE = 0x8000


class Zone:
    """A zone, or a run of zones in a row: the blocks from `slba` up to `elba`, which is excluded."""

    def __init__(self, qpair, ns, slba, elba=None):
        self._qpair, self._ns, self.slba = qpair, ns, slba
        self._report = Buffer(4096)
        report = self._descriptor()
        assert report[DESCRIPTOR] & 0xF == SEQUENTIAL_WRITE_REQUIRED, "a zone is sequential write required"
        assert report.data(DESCRIPTOR + 23, DESCRIPTOR + 16) == slba, f"no zone begins at {slba:#x}"
        self.capacity = report.data(DESCRIPTOR + 15, DESCRIPTOR + 8)
        self.elba = slba + self.capacity if elba is None else elba
        self.nsze, self.ncap = ns.id_data(7, 0), ns.id_data(15, 8)
        self.zsze = ns.id_data(2823, 2816, cns=5, csi=2) or USUAL_ZONE_SIZE
        self.slba_list = list(range(slba, self.elba, self.zsze))
        if self.capacity < self.zsze:
            # The driver steps over blocks it knows to be bad: so workers leave the gaps alone.
            for start in self.slba_list:
                for lba in range(start + self.capacity, start + self.zsze, MOST_BLOCKS):
                    count = min(MOST_BLOCKS, start + self.zsze - lba)
                    ns.write_uncorrectable(qpair, lba, count).waitdone()

    def _descriptor(self, slba=None):
        """A report that begins with this zone."""
        slba = self.slba if slba is None else slba
        self._ns.zns_mgmt_receive(self._qpair, self._report, slba).waitdone()
        return self._report

    @property
    def state(self):
        """Its zone state, in the words of the specification."""
        return self._state_of(self.slba)

    def _state_of(self, slba):
        return STATES.get(self._descriptor(slba)[DESCRIPTOR + 1] >> 4, "Reserved")

    @property
    def attributes(self):
        """Its zone attributes, a byte."""
        return self._descriptor()[DESCRIPTOR + 2]

    @property
    def wpointer(self):
        """The block that is written next."""
        return self._descriptor().data(DESCRIPTOR + 31, DESCRIPTOR + 24)

    def action(self, action, slba=None):
        """Sends a Zone Management Send command and waits for it."""
        slba = self.slba if slba is None else slba
        self._ns.zns_mgmt_send(self._qpair, Buffer(4096), slba, action).waitdone()

    def close(self):
        """Closes it."""
        self.action(CLOSE)

    def finish(self):
        """Makes it full."""
        self.action(FINISH)

    def open(self):
        """Opens it explicitly."""
        self.action(OPEN)

    def reset(self):
        """Makes it empty."""
        self.action(RESET)

    def offline(self):
        """Takes it offline."""
        self.action(OFFLINE)

    def set_descriptor_extension(self):
        """Sets its descriptor extension, to zeroes."""
        self.action(SET_DESCRIPTOR_EXTENSION)

    def read(self, qpair, buf, offset, lba_count=1, io_flags=0, dword13=0, dword14=0, dword15=0, cb=None):
        """Namespace.read from a block of the zone on."""
        return self._ns.read(
            qpair, buf, self.slba + offset, lba_count, io_flags, dword13, dword14, dword15, cb
        )

    def write(self, qpair, buf, offset, lba_count=1, io_flags=0, dword13=0, dword14=0, dword15=0, cb=None):
        """Namespace.write from a block of the zone on."""
        return self._ns.write(
            qpair, buf, self.slba + offset, lba_count, io_flags, dword13, dword14, dword15, cb
        )

    def append(self, qpair, buf, slba=None, lba_count=1, cb=None):
        """Zone Append: the controller says in its completion where the data went."""
        slba = self.slba if slba is None else slba
        return self._ns.send_cmd(
            ZONE_APPEND,
            qpair,
            buf,
            nsid=self._ns.nsid,
            cdw10=slba & 0xFFFFFFFF,
            cdw11=slba >> 32,
            cdw12=lba_count - 1,
            cb=cb,
        )

    def ioworker(
        self,
        io_size=8,
        lba_step=None,
        lba_align=None,
        lba_random=False,
        read_percentage=0,
        op_percentage=None,
        time=10,
        qdepth=2,
        iops=0,
        io_count=0,
        offset_start=0,
        qprio=0,
        distribution=None,
        ptype=0xBEEF,
        pvalue=100,
        io_sequence=None,
        output_io_per_second=None,
        output_percentile_latency=None,
        output_cmdlog_list=None,
    ):
        """A worker that stays in the zone; unless it only reads, every zone is emptied and opened before."""
        if read_percentage != 100:
            for slba in self.slba_list:
                if self._state_of(slba) != "Empty":
                    self.action(RESET, slba)
                self.action(OPEN, slba)
        return self._ns.ioworker(
            io_size=io_size,
            lba_step=lba_step,
            lba_align=lba_align,
            lba_random=lba_random,
            read_percentage=read_percentage,
            op_percentage=op_percentage,
            time=time,
            qdepth=qdepth,
            region_start=self.slba,
            region_end=self.elba,
            iops=iops,
            io_count=io_count,
            lba_start=self.slba + offset_start,
            qprio=qprio,
            distribution=distribution,
            ptype=ptype,
            pvalue=pvalue,
            io_sequence=io_sequence,
            output_io_per_second=output_io_per_second,
            output_percentile_latency=output_percentile_latency,
            output_cmdlog_list=output_cmdlog_list,
        )

    def __repr__(self):
        return f"slba {self.slba:#x}, state {self.state}, capacity {self.capacity:#x}, write pointer {self.wpointer:#x}"
