"""What this project does, in ten seconds: a target, hello world, a loaded device, and what went over the wire.

make demo
"""

import time

import nvme as d
from hello_world import hello_world
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

SECONDS = 3
QDEPTH = 64

console = Console(highlight=False)


def title(text):
    console.print(f"\n[bold]{text}[/bold]")


def show_identity(nvme0, nvme0n1):
    table = Table.grid(padding=(0, 2))
    size = nvme0n1.id_data(7, 0)
    rows = {
        "address": nvme0.addr,
        "model": nvme0.id_data(63, 24, str),
        "serial number": nvme0.id_data(23, 4, str),
        "firmware": nvme0.id_data(71, 64, str),
        "NVMe version": f"{nvme0[8] >> 16}.{nvme0[8] >> 8 & 0xFF}.{nvme0[8] & 0xFF}",
        "largest transfer": f"{nvme0.mdts // 1024} KiB",
        "queue entries": f"{(nvme0.cap & 0xFFFF) + 1}",
        "namespace 1": f"{size} blocks, {size * 512 // 2**20} MiB",
    }
    for name, value in rows.items():
        table.add_row(f"  {name}", str(value))
    console.print(table)


def load(nvme0n1):
    """4 KiB random reads and writes, half each, with a progress bar."""
    percentiles = dict.fromkeys((50, 90, 99, 99.9, 99.99))
    worker = nvme0n1.ioworker(
        io_size=8,
        read_percentage=50,
        time=SECONDS,
        qdepth=QDEPTH,
        output_percentile_latency=percentiles,
    ).start()
    columns = (
        TextColumn("  {task.description}"),
        BarColumn(),
        TextColumn("{task.fields[rate]}"),
        TimeElapsedColumn(),
    )
    with Progress(*columns, console=console) as progress:
        task = progress.add_task("4 KiB random, 50 % read", total=SECONDS, rate="")
        begin = time.time()
        while worker.running:
            time.sleep(0.1)
            elapsed = time.time() - begin
            rate = f"{worker.completed / elapsed / 1000:.0f} K IOPS"
            progress.update(task, completed=min(elapsed, SECONDS), rate=rate)
    return worker.close(), percentiles


def show_load(result, percentiles):
    total = result.io_count_read + result.io_count_nonread
    console.print(
        f"  {total:,} commands, {result.iops / 1000:.1f} K IOPS, {result.bytes_per_second / 2**20:.0f} MiB/s, "
        f"{QDEPTH - 1} in flight"
    )
    console.print(
        f"  latency: average {result.latency_average_us} us, maximum {result.latency_max_us} us; within"
    )
    console.print("  " + ", ".join(f"{us} us {p} %" for p, us in percentiles.items()))
    most = max(count for _, count in result.latency_octaves_us)
    for bound, count in result.latency_octaves_us:
        bar = "█" * round(50 * count / most) or ("▏" if count else "")
        console.print(f"  {'< ' + format(bound, '.0f') + ' us':>12} {count:>10,} {bar}")


def main():
    begin = time.time()
    title("The embedded target: SPDK's NVMe/TCP target on the loopback")
    target = d.Target()
    pcie = d.Pcie(target.address)
    nvme0 = d.Controller(pcie)
    nvme0n1 = d.Namespace(nvme0)
    qpair = d.Qpair(nvme0, 16)
    console.print(f"  {d.spdk_version}, target and connection ready in {time.time() - begin:.1f} s")
    show_identity(nvme0, nvme0n1)

    title("Hello world: a write whose callback reads it back")
    console.print(f"  read: {hello_world(nvme0n1, qpair).decode()!r}")

    title("An ioworker")
    show_load(*load(nvme0n1))

    title("The last command and its completion, from the command log")
    for entry in qpair.cmdlog_entries(1):
        console.print(f"  {entry['submitted']}  {entry['command']}")
        console.print(f"  after {entry['latency_us']:.1f} us: {entry['completion']}")

    qpair.delete()
    nvme0n1.close()
    pcie.close()
    target.stop()
    console.print("\nNext: README.md, scripts/hello_world.py, make test, make target\n")


if __name__ == "__main__":
    main()
