"""A wire between host and target that can be cut."""

import contextlib
import re
import selectors
import socket
import struct
import threading

# Where NVMe/TCP targets listen.
PORT = 4420
# Seconds in which the thread that accepts ends.
LISTENING = 5
# Close with RST, and what is under way is lost.
AT_ONCE = struct.pack("ii", 1, 0)


class Proxy:
    """Passes bytes on, both ways, until it is told to cut."""

    def __init__(self, host, port):
        self._target = (host, port)
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port = self._listener.getsockname()[1]
        self._lock = threading.Lock()
        self._pairs = []
        self._ended = False
        self._acceptor = threading.Thread(target=self._accept, daemon=True)
        self._acceptor.start()

    def _accept(self):
        while True:
            try:
                host, _ = self._listener.accept()
            except OSError:
                return
            try:
                target = socket.create_connection(self._target, timeout=5)
            except OSError:
                host.close()
                continue
            target.settimeout(None)
            with self._lock:
                self._pairs.append((host, target))
            threading.Thread(target=_pass_on, args=(host, target), daemon=True).start()

    def cut(self):
        """Ends all connections at once, in the middle of whatever goes on; how many those were."""
        with self._lock:
            pairs, self._pairs = self._pairs, []
        for pair in pairs:
            for end in pair:
                with contextlib.suppress(OSError):
                    end.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, AT_ONCE)
                    end.shutdown(socket.SHUT_RDWR)
        return len(pairs)

    def close(self):
        """Ends everything."""
        # Closing alone does not wake a thread that accepts.
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        self._acceptor.join(LISTENING)
        self.cut()


def _pass_on(host, target):
    other = {host: target, target: host}
    # Whoever hangs up, hangs up for both.
    with host, target, selectors.DefaultSelector() as selector, contextlib.suppress(OSError):
        for end in other:
            selector.register(end, selectors.EVENT_READ)
        while True:
            for key, _ in selector.select():
                data = key.fileobj.recv(1 << 16)
                if not data:
                    return
                other[key.fileobj].sendall(data)


def split(address):
    """Host and port of an address; the port may be left out, and with it the brackets of IPv6."""
    bracketed = re.fullmatch(r"\[(.*)\](?::(\d+))?", address)
    if bracketed:
        host, port = bracketed.groups()
    elif address.count(":") == 1:
        host, port = address.split(":")
    else:
        host, port = address, None
    return host, int(port or PORT)
