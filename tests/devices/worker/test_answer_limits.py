"""What a device may leave in the memory of this machine: what was asked for, and no more."""

import json
import tracemalloc

import pytest

from atb.devices.fake.device import FakeDevice
from atb.devices.remote import agent_client
from atb.devices.remote.agent_client import RemoteAgent
from atb.devices.remote.ssh.address import SshAddress
from atb.devices.remote.ssh.connection import ConnectionFailed
from atb.devices.settings import RunSettings
from atb.devices.worker.answer_limits import (
    LINE_BYTES,
    SMALL,
    UNASKED,
    limit_of_block,
    limit_of_request,
)
from atb.devices.worker.replies import ProtocolError, parse_line

GREETING = b'{"greeting": "atb-agent 1"}'


class Board:
    """The other end of a connection, in this process; answers by hand."""

    def __init__(self, address, command, *, key, known_hosts, on_line, most_bytes):
        self.say, self.most_bytes = on_line, most_bytes
        self.alive, self.reason = True, ""
        self.answers = [GREETING]

    def write(self, content):
        for answer in self.answers:
            self.say(answer)
        self.answers = []

    def close(self):
        self.alive = False


@pytest.fixture
def agent(monkeypatch):
    monkeypatch.setattr(agent_client, "SshCommand", Board)
    return RemoteAgent(SshAddress.parse("ssh://board"))


@pytest.fixture
def board(agent):
    return agent._command


def started(agent, board):
    """Have a worker started; its number."""
    board.answers.append(json.dumps({"answer": {}}).encode())
    original = board.write

    def one_at_a_time(content):
        board.say(board.answers.pop(0))

    board.write = one_at_a_time
    number = agent.start("pass", {})
    board.write = original
    return number


def test_an_answer_that_was_asked_for_is_taken(agent, board):
    board.answers.append(b'{"answer": {"seconds": 1.5}}')
    assert agent.ask("clock") == {"seconds": 1.5}


def test_what_was_not_asked_for_is_dropped_and_not_taken_for_a_later_answer(agent, board):
    board.say(b'{"answer": {"seconds": 666}}')
    board.answers.append(b'{"answer": {"seconds": 1.5}}')
    assert agent.ask("clock") == {"seconds": 1.5}


@pytest.mark.parametrize(
    "line", [b'{"answer": {}}', b'{"worker": 99, "line": "x"}', b'{"x": "what nobody wants"}']
)
def test_who_keeps_sending_what_was_not_asked_for_is_left(agent, board, line):
    for _ in range(200_000):
        board.say(line)
        if not agent.alive:
            break
    with pytest.raises(ConnectionFailed, match="were not asked for"):
        agent.ask("state")


def test_no_line_is_longer_than_what_was_asked_for(agent, board):
    assert board.most_bytes() == UNASKED.size_bytes
    number = started(agent, board)
    assert board.most_bytes() == UNASKED.size_bytes
    agent.write_line(number, b"{}\n", 1.0, limit_of_request("output"))
    assert board.most_bytes() == LINE_BYTES
    board.say(b'{"worker": 1, "line": "%s"}' % (b"x" * 1_000_000))
    assert len(agent.read_message(number, 1.0)["line"]) == 1_000_000
    assert board.most_bytes() == UNASKED.size_bytes
    board.say(b'{"worker": 1, "line": "%s"}' % (b"x" * 1_000_000))
    with pytest.raises(ConnectionFailed, match="more than was asked for"):
        agent.read_message(number, 1.0)


def test_the_end_of_a_worker_is_taken_once_without_being_asked_for(agent, board):
    number = started(agent, board)
    for _ in range(3):
        board.say(b'{"worker": 1, "exit": -9, "last_words": ""}')
    assert agent.read_message(number, 1.0)["exit"] == -9
    assert agent.read_message(number, 0.01) is None


def test_a_welcome_of_the_login_shell_is_passed_over_up_to_a_limit(monkeypatch):
    class Talkative(Board):
        welcome = 100

        def __init__(self, *arguments, **options):
            super().__init__(*arguments, **options)
            self.answers = [b"Welcome to the machine [1]!"] * self.welcome + [GREETING]

    monkeypatch.setattr(agent_client, "SshCommand", Talkative)
    assert RemoteAgent(SshAddress.parse("ssh://board")).alive
    Talkative.welcome = 100_000
    with pytest.raises(ConnectionFailed, match="were not asked for"):
        RemoteAgent(SshAddress.parse("ssh://board"))


@pytest.mark.parametrize("part", [b"{}", b"[]", b"0", b'{"a":0}', b'[[],""]', b"1e1"])
def test_memory_is_a_few_times_the_bytes_whatever_the_bytes_say(agent, board, part):
    line = b'{"answer": {"seconds": [%s]}}' % b",".join([part] * 1_000_000)
    tracemalloc.start()
    board.say(line)
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < len(line) / 2
    assert not agent.alive


def test_blocks_of_any_length_fit_into_what_is_asked_for():
    device = FakeDevice(noise=0.02, preemption=0.1)
    from dataclasses import asdict

    from atb.models.space import SPACES

    settings = RunSettings()
    runtime = device.runtimes["fake"]
    with device.launch(runtime, settings) as launch:
        import tempfile
        from pathlib import Path

        with tempfile.TemporaryDirectory() as folder:
            launch.load("a", runtime.build(SPACES["mini"].smallest, settings, Path(folder)))
            for iterations in (1, 7, 1000):
                line = json.dumps(asdict(launch.run("a", iterations=iterations))).encode()
                assert limit_of_block(iterations).admits(line)
                wrapped = json.dumps({"worker": 1, "line": line.decode()}).encode()
                assert limit_of_block(iterations).admits(wrapped)


def test_an_answer_beyond_its_limit_is_refused_before_it_is_read():
    assert parse_line(b'{"a": 1}', SMALL) == {"a": 1}
    for line in (b'{"a": "%s"}' % (b"x" * (1 << 17)), b'{"a": [%s]}' % b",".join([b"0"] * 5000)):
        with pytest.raises(ProtocolError, match="more than was asked for"):
            parse_line(line, SMALL)
