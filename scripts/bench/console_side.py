"""The console of `make bench`: the real one, on a screen that nobody sees. Attaches and detaches when it is asked to,
a line of JSON each."""

import asyncio
import json
import os
import sys

from nvme.console.app import Console, give_way


class Driven(Console):
    """Detached until somebody asks."""

    async def on_mount(self):
        self.detach()
        self.run_worker(self.answer())

    async def answer(self):
        reader = asyncio.StreamReader()
        await asyncio.get_running_loop().connect_read_pipe(
            lambda: asyncio.StreamReaderProtocol(reader), sys.stdin
        )
        while line := await reader.readline():
            what = json.loads(line)["do"]
            if what == "attach" and self.process is None:
                before = self.answers
                self.watch_one(None)
                while self.answers < before + 2:
                    await asyncio.sleep(0.05)
            elif what == "detach":
                self.detach()
            # Standard output is the screen's.
            os.write(1, (json.dumps({"answers": self.answers}) + "\n").encode())
        self.exit()


if __name__ == "__main__":
    give_way()
    Driven(sys.argv[1]).run(headless=True, size=(160, 48))
