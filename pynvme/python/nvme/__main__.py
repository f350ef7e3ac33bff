"""python -m nvme target: run the embedded target in the foreground, for scripts started by hand."""

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
    arguments = parser.parse_args()
    try:
        arguments.run(arguments)
    except RuntimeError as error:
        sys.exit(str(error))


if __name__ == "__main__":
    main()
