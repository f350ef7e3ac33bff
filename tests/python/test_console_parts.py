"""What the console is made of, without a process to watch."""

import asyncio

import pytest
from nvme.console import client, processes
from nvme.console.commands import CommandLog, Filter, FilterError
from nvme.console.counters import Counters, Queue, Rate


def row(handle, qid, completed=0, controller=0, **more):
    counted = {"depth": 64, "in_flight": 0, "completed": completed, "failed": 0, "bytes": 0}
    return {"queue": handle, "controller": controller, "qid": qid, **counted, **more}


def counts(now, *rows, controllers=1):
    known = [{"address": f"127.0.0.{number}", "model": "Model"} for number in range(controllers)]
    return {"now": now, "controllers": known, "queues": list(rows)}


def test_rates_come_from_two_answers_and_the_time_between():
    counters = Counters()
    counters.absorb(counts(1_000_000, row(1, 0), row(2, 1, 100, bytes=4096)))
    assert [queue.iops.now for queue in counters.queues.values()] == [None, None]
    counters.absorb(counts(3_000_000, row(1, 0), row(2, 1, 600, bytes=2 * 4096, failed=3, in_flight=5)))
    busy = counters.queues[2]
    assert (busy.iops.now, busy.bandwidth.now, busy.in_flight, busy.failed) == (250, 2048, 5, 3)
    assert list(busy.iops.seconds) == [250, 250], "one for each second"
    assert (counters.total.iops.now, counters.total.completed, counters.total.in_flight) == (250, 600, 5)
    # A queue comes, another one goes: what it has done stays in the total.
    counters.absorb(counts(4_000_000, row(1, 0), row(9, 1, 10)))
    assert sorted(counters.queues) == [1, 9]
    assert (counters.queues[9].iops.now, counters.total.completed) == (10, 610)


def test_queues_have_names_of_their_own():
    counters = Counters()
    counters.absorb(counts(0, row(1, 0), row(2, 3)))
    assert [queue.label for queue in counters.queues.values()] == ["0", "3"]
    counters.absorb(counts(1, row(1, 0), row(2, 3), row(3, 0, controller=1), controllers=2))
    assert [queue.label for queue in counters.queues.values()] == ["A0", "A3", "B0"]


def test_the_last_minute_as_a_line():
    rate = Rate()
    assert rate.sparkline(20) == " " * 20
    for amount in range(1, 9):
        rate.add(amount, 1)
    assert rate.sparkline(60).strip() == "▂▃▄▅▆▇██"
    assert len(rate.sparkline(60)) == 60
    # Three seconds in a column.
    assert rate.sparkline(20).strip() == "▂▅█"
    for _ in range(100):
        rate.add(0, 1)
    assert (len(rate.seconds), rate.sparkline(20)) == (60, " " * 20)
    rate.add(7, 1000)
    assert len(rate.seconds) == 60


@pytest.mark.parametrize(
    "text, meaning",
    [
        ({}, {}),
        ({"opcode": " 0x02 "}, {"opcode": 2}),
        ({"opcode": "1c"}, {"opcode": 0x1C}),
        ({"opcode": "Read"}, {"opcode": 2}),
        ({"opcode": "write z"}, {"opcode": 8}),
        ({"opcode": "identify"}, {"opcode": 6}),
        ({"status": "failed"}, {"status": "failed"}),
        ({"status": "in fl"}, {"status": "in flight"}),
        ({"status": "ok"}, {"status": [0, 0]}),
        ({"status": "2/81"}, {"status": [2, 0x81]}),
        ({"lba": "8"}, {"lba": [8, 8]}),
        ({"lba": "0x10-0x1f"}, {"lba": [16, 31]}),
        ({"opcode": "flush", "status": "00/02", "lba": "1"}, {"opcode": 0, "status": [0, 2], "lba": [1, 1]}),
    ],
)
def test_filters_as_people_write_them(text, meaning):
    assert Filter.parse(**text).parameters == meaning


@pytest.mark.parametrize(
    "text, why",
    [
        ({"opcode": "raed"}, "no command is called 'raed'"),
        ({"opcode": "zone m"}, "Zone Management Send, Zone Management Receive"),
        ({"status": "bad"}, "type/code"),
        ({"status": "8/00"}, "type/code"),
        ({"lba": "9-1"}, "first-last"),
        ({"lba": "x"}, "a block"),
        ({"lba": "-5"}, "a block"),
    ],
)
def test_what_is_no_filter_says_what_would_be_one(text, why):
    with pytest.raises(FilterError, match=why):
        Filter.parse(**text)


def test_a_name_says_which_queues_are_meant():
    admin, io = Queue(1, 0, 0, "0"), Queue(2, 0, 1, "1")
    assert [Filter.parse(opcode="read").wants(queue) for queue in (admin, io)] == [False, True]
    assert [Filter.parse(opcode="get log page").wants(queue) for queue in (admin, io)] == [True, False]
    assert [Filter.parse(opcode="0x02").wants(queue) for queue in (admin, io)] == [True, True]
    assert [Filter.parse(queue="1").wants(queue) for queue in (admin, io)] == [False, True]


READ = "02" + "00" * 63


def news(next, commands, unseen=0, in_flight=()):
    return {"next": next, "unseen": unseen, "in_flight": list(in_flight), "commands": commands}


def done(sequence, submitted):
    return [sequence, submitted, READ, 1000, "00" * 16]


def test_the_log_asks_for_what_is_new_and_goes_on_with_what_was_in_flight():
    log, queue = CommandLog(), Queue(7, 0, 1, "1")
    question, asked = log.question([queue])
    assert question == {"queues": [[7, 0, []]], "most": 100}
    log.absorb({"queues": [news(2, [[1, 20, READ, None, None], done(0, 10)], 5, [1])]}, asked)
    assert [command.sequence for command in log.newest()] == [1, 0]
    assert (log.newest()[0].status, log.unseen) == (None, 0), "what was before is not missed"
    question, asked = log.question([queue])
    assert question["queues"] == [[7, 2, [1]]]
    log.absorb({"queues": [news(9, [done(1, 20)], 6)]}, asked)
    assert ([command.status for command in log.newest()], log.unseen) == ([(0, 0), (0, 0)], 6)
    # In flight, and then forgotten by the process: nobody knows how it ended.
    log.absorb({"queues": [news(11, [[10, 30, READ, None, None]], 0, [10])]}, asked)
    assert len(log.newest()) == 3
    log.absorb({"queues": [news(9000, [], 8000)]}, asked)
    assert [command.sequence for command in log.newest()] == [1, 0]
    # The queue is gone.
    log.absorb({"queues": [None]}, asked)
    assert log.question([queue])[0]["queues"] == [[7, 0, []]]
    assert len(log.newest()) == 2


def test_queues_that_did_not_fit_into_an_answer_come_first_the_next_time():
    log, queues = CommandLog(), [Queue(handle, 0, handle, str(handle)) for handle in range(1, 4)]
    _, asked = log.question(queues)
    log.absorb(
        {"queues": [news(5, [done(0, 10)]), news(5, []), news(5, [[4, 30, READ, None, None]], 0, [4])]}, asked
    )
    question, asked = log.question(queues)
    assert question["queues"] == [[1, 5, []], [2, 5, []], [3, 5, [4]]]
    log.absorb({"queues": [news(9, [done(5, 20)])]}, asked)
    assert [command.sequence for command in log.newest()] == [4, 5, 0], "nothing is forgotten"
    question, asked = log.question(queues)
    assert question["queues"] == [[2, 5, []], [3, 5, [4]], [1, 9, []]]
    log.absorb({"queues": [news(7, []), news(6, [done(4, 30)])]}, asked)
    assert [queue.handle for queue in log.question(queues)[1]] == [1, 2, 3]
    # A queue that is not there any more, and more than a question may have.
    many = [Queue(handle, 0, handle, str(handle)) for handle in range(2, 100)]
    _, asked = log.question(many)
    assert len(asked) == 64 and log.question(queues)[0]["queues"][0] == [1, 0, []]
    log.absorb({"queues": [news(1, [])] * 64}, asked)
    assert {queue.handle for queue in log.question(many)[1]} >= set(range(68, 100))


def test_the_log_does_not_grow_for_ever():
    log, queue = CommandLog(), Queue(7, 0, 1, "1")
    for number in range(30):
        commands = [done(100 * number + more, 100 * number + more) for more in range(100)]
        log.absorb({"queues": [news(100 * number + 100, commands)]}, [queue])
    newest = log.newest()
    assert len(newest) <= 1100 and newest[0].sequence == 2999


def test_where_nobody_serves(tmp_path):
    (tmp_path / "nvme.sock").write_text("no socket")
    (tmp_path / "nvme.sock.12").write_text("no socket")
    assert processes.find(str(tmp_path / "nvme.sock")) == processes.Found([], [])
    assert processes.find("/no/such/folder/nvme.sock") == processes.Found([], [])


@pytest.mark.parametrize(
    "answer", [b"[]", b"7", b'{"id": 1, "error": "no"}', b'{"id": 1, "error": {}}', b"{", b""]
)
def test_an_answer_of_something_else_ends_the_connection(tmp_path, answer):
    async def ask():
        path = str(tmp_path / "other.sock")

        async def other(reader, writer):
            await reader.read(10)
            writer.write(answer + b"\n")
            writer.close()

        async with await asyncio.start_unix_server(other, path):
            connection = await client.Client.connect(path)
            with pytest.raises(client.Ended):
                await connection.ask(("nvme_queues", None))
            connection.close()

    asyncio.run(ask())
