"""JSON-RPC with the process that is watched."""

from __future__ import annotations

import asyncio
import json

# Answers are shorter than 64 KiB.
LONGEST_ANSWER = 1 << 20


class Ended(Exception):
    """The process is gone, or does not know what it was asked."""


class Client:
    """A connection. Questions go out together, so that the process wakes up once for all of them."""

    def __init__(self, reader, writer):
        self._reader, self._writer, self._id = reader, writer, 0

    @classmethod
    async def connect(cls, path: str) -> Client:
        """To the process that serves there."""
        try:
            return cls(*await asyncio.open_unix_connection(path, limit=LONGEST_ANSWER))
        except OSError as why:
            raise Ended(why.strerror or str(why)) from None

    async def ask(self, *questions):
        """Methods with their parameters; returns the answers in the same order, once they have come."""
        requests = []
        for method, params in questions:
            self._id += 1
            requests.append({"jsonrpc": "2.0", "id": self._id, "method": method, "params": params})
        answers = []
        try:
            self._writer.write("".join(map(json.dumps, requests)).encode())
            for request in requests:
                line = await self._reader.readline()
                answer = json.loads(line or "{}")
                if answer.get("id") != request["id"]:
                    raise Ended("it has ended")
                if "result" not in answer:
                    raise Ended(f"{request['method']}: {answer['error']['message']}")
                answers.append(answer["result"])
        # What is no server of this project may answer anything.
        except (OSError, ValueError, KeyError, AttributeError, TypeError) as why:
            raise Ended(f"it has ended ({why})") from None
        return answers

    def close(self):
        """The process notices it at once."""
        self._writer.close()
