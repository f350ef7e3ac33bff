"""What can be run beside test scripts: the embedded target, and a console that shows what a running test does."""

import argparse
import signal
import sys
import threading

from . import Target


def target(arguments):
    """Run a target until it is interrupted."""
    with Target(
        port=arguments.port,
        megabytes=arguments.megabytes,
        namespaces=arguments.namespaces,
        block_size=arguments.block_size,
    ) as running:
        host, _, port = running.address.rpartition(":")
        print(
            f"NVMe/TCP target at {running.address}: {arguments.namespaces} x {arguments.megabytes} MiB, in memory"
        )
        print(f'connect with: nvme.Tcp("{host}", {port}), or pytest --pciaddr={running.address}')
        print("stop with Ctrl-C", flush=True)
        done = threading.Event()
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, lambda *_: done.set())
        while running.running and not done.wait(0.2):
            pass
        if not running.running:
            sys.exit("the target has ended")


def console(arguments):
    """Show what a running test does, until the user leaves."""
    try:
        from .console.app import run
    except ModuleNotFoundError as missing:
        sys.exit(f"{missing}; what to do: pip install 'textual>=6,<9'")
    from .console.processes import default_path

    run(arguments.socket or default_path(), arguments.pid, arguments.period)


def main():
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(prog="python -m nvme", description=__doc__)
    verbs = parser.add_subparsers(required=True, metavar="VERB")
    verb = verbs.add_parser("target", help="run the embedded NVMe/TCP target in the foreground")
    verb.add_argument("--port", type=int, default=4420, help="TCP port on 127.0.0.1 (default 4420)")
    verb.add_argument("--megabytes", type=int, default=256, help="size of each namespace (default 256)")
    verb.add_argument("--namespaces", type=int, default=1, help="how many (default 1)")
    verb.add_argument("--block-size", type=int, default=512, choices=(512, 4096), help="bytes per block")
    verb.set_defaults(run=target)
    verb = verbs.add_parser("console", help="show what a running test does: queues, throughput, commands")
    verb.add_argument(
        "--socket", default="", help="where it serves (default: NVME_RPC_SOCKET, or pynvme's path)"
    )
    verb.add_argument("--pid", type=int, help="which process, if there are several")
    verb.add_argument("--period", type=float, default=1, help="seconds between two looks (default 1)")
    verb.set_defaults(run=console)
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
