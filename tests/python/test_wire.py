"""nvme.wire: the types, and conversations with peers that are not targets and with one that is."""

import os
import signal
import socket
import threading
import time

import pytest
from nvme import wire

R2T = wire.Pdu.r2t(cccid=5, ttag=6, r2to=0, r2tl=512)


@pytest.fixture
def peer():
    """A listener that does to its first connection what a test says; returns the address."""
    listener = socket.create_server(("127.0.0.1", 0))
    threads = []

    def peer(act):
        def serve():
            accepted = listener.accept()[0]
            with accepted:
                act(accepted)

        threads.append(threading.Thread(target=serve, daemon=True))
        threads[-1].start()
        return f"127.0.0.1:{listener.getsockname()[1]}"

    yield peer
    listener.close()
    for thread in threads:
        thread.join(10)


def until_closed(accepted):
    """Stay until the other side is done."""
    while accepted.recv(4096):
        pass


@pytest.mark.parametrize(
    "pdu",
    [
        wire.Pdu.icreq(hpda=3, dgst=3, maxr2t=7),
        wire.Pdu.icresp(cpda=1, dgst=1),
        wire.Pdu.h2c_term_req(1, 2, b"abcd"),
        wire.Pdu.c2h_term_req(6, 11, bytes(128)),
        wire.Pdu.capsule_cmd(wire.Command.write(1, 1, 1 << 33, 8, 4096, in_capsule=True), bytes(4096)),
        wire.Pdu.capsule_resp(bytes(16)),
        wire.Pdu.h2c_data(1, 2, 512, bytes(512), last=False),
        wire.Pdu.c2h_data(1, 0, bytes(4), success=True),
        R2T,
    ],
    ids=lambda pdu: pdu.name,
)
def test_what_is_built_is_parsed(pdu):
    for layout in ((False, False, 0), (True, True, 31), (True, False, 7)):
        assert wire.Pdu.parse(bytes(pdu.frame(*layout)), *layout) == pdu


def test_every_field_of_a_frame_can_be_wrong():
    frame = wire.Pdu.capsule_cmd(wire.Command.keep_alive(7), b"data").frame(header_digest=True)
    right = bytes(frame)
    frame.pdu_type, frame.flags, frame.hlen, frame.pdo, frame.plen = 0xAA, 0xBB, 0xCC, 0xDD, 0xEEEEEEEE
    frame.specific, frame.padding, frame.data = b"s", b"p", b"d"
    frame.header_digest, frame.data_digest = 0x01020304, "wrong"
    assert bytes(frame)[:9] == b"\xaa\xbb\xcc\xdd\xee\xee\xee\xees"
    assert bytes(frame)[9:15] == b"\x04\x03\x02\x01pd"
    assert len(bytes(frame)) == 19
    frame.data_digest = None
    assert len(bytes(frame)) == 15
    assert right[-4:] == b"data" and len(right) == 72 + 4 + 4
    with pytest.raises(ValueError, match="is no digest"):
        frame.data_digest = "rigth"


def test_errors_of_parsing_say_where_to_look():
    frame = R2T.frame()
    frame.hlen = 25
    with pytest.raises(
        wire.ProtocolError, match=r'R2T: HLEN is 0x19, expected 0x18 .*"Ready to Transfer PDU'
    ):
        wire.Pdu.parse(bytes(frame))


def test_fields_have_the_names_of_the_specification():
    assert R2T.fields == {"cccid": 5, "ttag": 6, "r2to": 0, "r2tl": 512}
    assert R2T["ttag"] == 6 and R2T.name == "R2T" and R2T.code == 9
    assert repr(R2T) == "<R2T cccid=5 ttag=6 r2to=0 r2tl=512>"
    with pytest.raises(KeyError, match="R2T has no field"):
        R2T["fes"]


def test_what_comes(peer, tmp_path):
    def act(accepted):
        broken = R2T.frame()
        broken.hlen = 23
        accepted.sendall(bytes(R2T.frame()) + bytes(broken) + bytes(R2T.frame())[:9])

    connection = wire.Connection(peer(act))
    pdu, malformed, closed = connection.receive_until_closed()
    assert pdu == R2T
    assert malformed.field == "HLEN" and malformed.value == 23 and len(malformed.data) == 24
    assert closed.how == "midway"
    assert len(connection.received) == 57
    wire.write_capture(tmp_path / "a.pcapng", [connection])
    assert (tmp_path / "a.pcapng").read_bytes()[:4] == b"\x0a\x0d\x0d\x0a"


def test_nothing_lasts(peer):
    connection = wire.Connection(peer(until_closed), timeout=0.3)
    begin = time.monotonic()
    assert connection.receive() is None
    with pytest.raises(TimeoutError, match="ICResp"):
        connection.initialise()
    assert time.monotonic() - begin < 5
    connection.close()
    connection.close()
    with pytest.raises(ConnectionError, match="this side closed"):
        connection.receive()
    assert len(connection.sent) == 128


def test_other_threads_run_and_signals_arrive(peer):
    connection = wire.Connection(peer(until_closed))
    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        threading.Timer(0.3, os.kill, (os.getpid(), signal.SIGINT)).start()
        connection.receive(60)
    assert time.monotonic() - begin < 10
    connection.close()


def test_a_signal_handler_cannot_use_what_it_interrupts(peer, tmp_path):
    connection, refused = wire.Connection(peer(until_closed)), []

    def handler(number, frame):
        for use in (
            connection.close,
            lambda: connection.sent,
            lambda: wire.write_capture(tmp_path / "a", [connection]),
        ):
            try:
                use()
            except RuntimeError as error:
                refused.append(str(error))

    before = signal.signal(signal.SIGALRM, handler)
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.2)
        assert connection.receive(1) is None
    finally:
        signal.signal(signal.SIGALRM, before)
    assert len(refused) == 3 and all("signal handler" in text for text in refused)
    connection.close()


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(ConnectionError, match="check that the target listens"):
        wire.Connection(f"127.0.0.1:{port}")
    with pytest.raises(ValueError, match="no host"):
        wire.Connection("0000:01:00.0")


@pytest.mark.parametrize("dgst", range(4))
def test_a_conversation(own_target, dgst):
    options = {"dgst": dgst, "timeout": 10}
    with wire.Connection(own_target.address, own_target.subnqn, **options) as admin:
        assert admin.initialise()["dgst"] == dgst
        cntlid = admin.connect()
        admin.enable()
        assert admin.property_get(0x1C) & 1
        assert admin.identify(1)[24:64].strip() == b"nvme-spdk embedded target"
        with wire.Connection(own_target.address, own_target.subnqn, **options) as queue:
            queue.initialise()
            queue.connect(qid=1, cntlid=cntlid)
            data = os.urandom(8192)
            outcome = queue.execute(wire.Command.write(1, 1, 8, 16, 8192), on_request=data)
            assert outcome.status == "00/00" and outcome.r2ts
            assert queue.execute(wire.Command.read(2, 1, 8, 16, 8192)).data == data
            outcome = queue.execute(wire.Command.write(3, 1, 8, 1, 512), in_capsule=data[:512])
            assert outcome.status == "00/00" and not outcome.r2ts
            assert queue.execute(wire.Command.read(2, 1, 1 << 40, 1, 512)).status == "00/80"


def test_a_refusal_is_an_error_with_its_status(own_target):
    with wire.Connection(own_target.address, "nqn.2026-01.org.example:nobody") as connection:
        connection.initialise()
        with pytest.raises(wire.ProtocolError, match="Connect of queue 0 failed with status 01/82"):
            connection.connect()
