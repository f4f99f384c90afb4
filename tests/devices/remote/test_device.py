"""A remote device behind a real OpenSSH server on loopback."""

import os
import shlex
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from openssh import OpenSsh, make_key, running_openssh
from remote_devices import remote_device, save_device

from atb.devices.adding import add_device, remove_device
from atb.devices.contract import LaunchFailure
from atb.devices.registry import find_device, find_runtime
from atb.devices.remote.agent_client import RemoteAgent, RemoteError
from atb.devices.remote.device import SshDevice
from atb.devices.remote.saved_devices import SavedDevice, read_devices
from atb.devices.remote.ssh.address import SshAddress
from atb.devices.settings import RunSettings
from atb.errors import InputError, RunError
from atb.models.architecture import Architecture

pytestmark = pytest.mark.slow

SMALL = Architecture(1, 20, 2, 12, 28)
SETTINGS = RunSettings(sequence_length=8)


@pytest.fixture(autouse=True)
def remote_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where agents of this test make their folders; the server hands it on."""
    folder = tmp_path / "remote"
    folder.mkdir()
    monkeypatch.setenv("ATB_DEVICES", str(tmp_path / "devices.json"))
    monkeypatch.setenv("HOME", str(tmp_path))
    return folder


@pytest.fixture
def server(openssh_installed: None, tmp_path: Path, remote_folder: Path) -> Iterator[OpenSsh]:
    lines = [f"SetEnv TMPDIR={remote_folder}"]
    with running_openssh(tmp_path / "openssh", lines=lines) as server:
        yield server


def add(server: OpenSsh, name: str = "board", **changes: object) -> SavedDevice:
    options = {
        "python": sys.executable,
        "key": server.key,
        "known_hosts": server.known_hosts,
        **changes,
    }
    return add_device(name, server.url, **options)[0]  # type: ignore[arg-type]


def wait_until_empty(folder: Path, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while list(folder.iterdir()) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not list(folder.iterdir())


def processes_of(folder: Path) -> list[int]:
    """Those whose command or environment names a folder, except this one."""
    found = []
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and int(entry.name) != os.getpid():
            try:
                told = (entry / "cmdline").read_bytes() + (entry / "environ").read_bytes()
            except OSError:
                continue
            if f"TMPDIR={folder}".encode() in told:
                found.append(int(entry.name))
    return found


def wait_until_no_process(folder: Path, seconds: float = 20.0) -> bool:
    deadline = time.monotonic() + seconds
    while processes_of(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    return not processes_of(folder)


def test_a_device_is_added_found_and_removed(server: OpenSsh) -> None:
    saved = add(server)
    assert read_devices() == {"board": saved}
    device = find_device("board")
    assert isinstance(device, SshDevice)
    assert dict(device.platform) == dict(find_device("local").platform)
    assert find_runtime(device, "onnxruntime").version == saved.facts.versions["onnxruntime"]
    device.close()
    with pytest.raises(InputError, match="remove"):
        add(server)
    remove_device("board")
    with pytest.raises(InputError, match="There is no device 'board'"):
        find_device("board")
    with pytest.raises(InputError, match="no remote device"):
        remove_device("board")


def test_a_name_of_ours_is_taken(server: OpenSsh) -> None:
    with pytest.raises(InputError, match="taken"):
        add(server, "local")


@pytest.mark.parametrize(
    "script",
    [
        "echo ImportError: no libpython >&2; exit 127",  # at once, its input unread
        "cat >/dev/null & echo ImportError: no libpython >&2; sleep 1; exit 1",
        "exec 1>&-; sleep 0.5; echo ImportError: no libpython >&2; exit 1",
        "cat >/dev/null & exec 1>&-; sleep 3; echo ImportError: no libpython >&2; exit 1",
        "echo ImportError: no libpython >&2; kill -KILL $$",
    ],
)
def test_a_python_that_does_not_start_has_the_last_word(
    server: OpenSsh, tmp_path: Path, script: str
) -> None:
    broken = tmp_path / "broken"
    broken.write_text(f"#!/bin/sh\n{script}\n")
    broken.chmod(0o755)
    with pytest.raises(RunError, match="ImportError: no libpython"):
        add(server, python=str(broken))


def test_a_wrong_host_key_is_refused(server: OpenSsh) -> None:
    saved = save_device(server)
    server.kill()
    server.new_host_key()
    server.start()
    fingerprint = subprocess.run(
        ["ssh-keygen", "-lf", str(server.folder / "host_key.pub")],
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()[1]
    with pytest.raises(RunError, match="knows another one") as caught:
        _ = SshDevice(saved).platform
    assert fingerprint in str(caught.value)
    assert "ssh-keygen -R" in str(caught.value)


def test_an_unknown_host_key_is_refused_and_not_learnt(server: OpenSsh) -> None:
    server.known_hosts.write_text("")
    with pytest.raises(RunError, match="does not know") as caught:
        add(server)
    assert "SHA256:" in str(caught.value)
    assert server.known_hosts.read_text() == ""
    with pytest.raises(RunError, match="does not know"):  # the usual file is not there
        add(server, known_hosts=None)
    with pytest.raises(InputError, match="--known-hosts"):
        add(server, known_hosts=server.folder / "nothing")


def test_a_configuration_cannot_switch_the_check_off(server: OpenSsh, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        "Host *\nStrictHostKeyChecking no\nUserKnownHostsFile none\n"
    )
    with pytest.raises(RunError, match="does not know"):
        add(server, known_hosts=None)


def test_an_alias_of_the_configuration_is_honoured(server: OpenSsh, tmp_path: Path) -> None:
    (tmp_path / ".ssh").mkdir()
    (tmp_path / ".ssh" / "config").write_text(
        f"Host board\nHostname 127.0.0.1\nPort {server.port}\nIdentityFile {server.key}\n"
    )
    server.known_hosts.rename(tmp_path / ".ssh" / "known_hosts")
    saved, _, _ = add_device("board", "ssh://board", python=sys.executable)
    assert saved.facts.platform["system"] == "Linux"


def test_a_key_that_is_not_known_there_is_refused(server: OpenSsh, tmp_path: Path) -> None:
    make_key(tmp_path / "stranger")
    with pytest.raises(RunError, match="does not let us in"):
        add(server, key=tmp_path / "stranger")
    with pytest.raises(InputError, match="--key"):
        add(server, key=tmp_path / "nothing")
    (tmp_path / "broken").write_text("no key")
    with pytest.raises(InputError, match="--key"):
        add(server, key=tmp_path / "broken")


def test_a_server_that_is_off_is_one_sentence(server: OpenSsh) -> None:
    server.kill()
    with pytest.raises(RunError, match="does not answer"):
        add(server)


def test_python_that_is_not_there_is_one_sentence(server: OpenSsh) -> None:
    with pytest.raises(RunError, match="--python"):
        add(server, python="no-such-python")


@pytest.mark.parametrize(
    "python",
    ["x; touch {}", "$(touch {})", "`touch {}`", "x' ; touch {} ; '", 'x" ; touch {} ; "', "&&{}"],
)
def test_no_shell_runs_what_a_python_is_called(
    python: str, server: OpenSsh, tmp_path: Path
) -> None:
    canary = tmp_path / "canary"
    with pytest.raises(RunError, match="--python"):
        add(server, python=python.format(canary))
    assert not canary.exists()


@pytest.mark.parametrize("python", ["", "-c", "python3\ntouch x", "python3\x00"])
def test_a_python_that_is_no_word_is_refused(python: str, server: OpenSsh) -> None:
    with pytest.raises(InputError, match="--python"):
        add(server, python=python)


def test_files_of_any_name_go_there_by_their_content(
    server: OpenSsh, tmp_path: Path, remote_folder: Path
) -> None:
    canary = tmp_path / "canary"
    folder = tmp_path / 'it\'s $(touch canary); `id` "here"'
    folder.mkdir()
    device = remote_device(server)
    runtime = device.runtimes["onnxruntime"]
    artefact = runtime.build(SMALL, SETTINGS, folder)
    odd = artefact.path.rename(folder / f"$(touch {canary.name}) ;'\".onnx")
    key = f"'; touch {canary}; $(touch {canary}) \" ../../x"
    with device.launch(runtime, SETTINGS) as launch:
        launch.load(key, type(artefact)(odd, artefact.sha256, artefact.size_bytes))
        assert launch.run(key, iterations=2).wall_seconds
        (agent,) = remote_folder.iterdir()
        names = {path.name for path in agent.iterdir() if path.suffix}
        assert f"{artefact.sha256}.onnx" in names
        assert all(set(name.partition(".")[0]) <= set("0123456789abcdef") for name in names)
        assert agent.stat().st_mode & 0o777 == 0o700
    device.close()
    assert not canary.exists()
    assert list(remote_folder.iterdir()) == []


@pytest.mark.parametrize(
    "change", [{"sha256": "../../canary"}, {"sha256": "0" * 63}, {"suffix": "/../x"}]
)
def test_the_agent_writes_nowhere_else(
    change: dict[str, str], server: OpenSsh, remote_folder: Path
) -> None:
    agent = connect(server)
    with pytest.raises(RemoteError, match="named by its hash"):
        agent.ask("put", **{"sha256": "0" * 64, "suffix": ".py", "size": 0, **change})
    agent.close()
    assert list(remote_folder.iterdir()) == []


def connect(server: OpenSsh) -> RemoteAgent:
    return RemoteAgent(
        SshAddress.parse(server.url),
        python=sys.executable,
        key=server.key,
        known_hosts=server.known_hosts,
    )


def test_another_machine_under_the_same_name_is_refused(server: OpenSsh) -> None:
    saved = save_device(server)
    assert isinstance(saved.facts.platform, dict)
    saved.facts.platform["processor"] = "Cortex-A72"
    with pytest.raises(RunError, match=r"Another machine .*processor was 'Cortex-A72'"):
        _ = SshDevice(saved).platform


def test_cpus_that_it_does_not_have_are_refused(server: OpenSsh) -> None:
    device = remote_device(server)
    with pytest.raises(InputError, match="affinity"):
        device.launch(device.runtimes["onnxruntime"], RunSettings(affinity=(4000,)))
    device.close()


def test_nothing_stays_after_the_end(server: OpenSsh, remote_folder: Path) -> None:
    device = remote_device(server)
    with device.launch(device.runtimes["onnxruntime"], SETTINGS):
        assert list(remote_folder.iterdir())
    device.close()
    assert list(remote_folder.iterdir()) == []
    assert wait_until_no_process(remote_folder)


def test_nothing_stays_after_a_cut(server: OpenSsh, remote_folder: Path) -> None:
    device = remote_device(server)
    runtime = device.runtimes["onnxruntime"]
    with device.launch(runtime, SETTINGS) as launch:
        server.cut()
        with pytest.raises(LaunchFailure) as caught:
            launch.run("nothing", iterations=1)
        assert caught.value.cause == "device-gone"
    assert wait_until_empty(remote_folder)
    assert wait_until_no_process(remote_folder)
    with device.launch(runtime, SETTINGS):  # the next call connects again
        pass
    device.close()


def test_nothing_stays_of_a_client_that_is_killed(server: OpenSsh, remote_folder: Path) -> None:
    script = f"""
import sys, time
sys.path.insert(0, {str(Path(__file__).parents[2] / "support")!r})
from pathlib import Path
from remote_devices import remote_device
from openssh import OpenSsh
from atb.devices.settings import RunSettings
device = remote_device(OpenSsh(Path({str(server.folder)!r}), {server.port}))
with device.launch(device.runtimes["onnxruntime"], RunSettings()):
    print("ready", flush=True)
    time.sleep(60)
"""
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE) as client:
        assert client.stdout is not None
        assert client.stdout.readline() == b"ready\n"
        assert processes_of(remote_folder)
        client.send_signal(signal.SIGKILL)
    assert wait_until_empty(remote_folder)
    assert wait_until_no_process(remote_folder)


def test_what_a_killed_agent_left_is_cleared_up_by_the_next_one(
    server: OpenSsh, remote_folder: Path
) -> None:
    device = remote_device(server)
    _ = device.platform
    agents = [pid for pid in processes_of(remote_folder) if _is_agent(pid)]
    for pid in agents:
        os.kill(pid, signal.SIGKILL)
    assert wait_until_no_process(remote_folder)
    assert list(remote_folder.iterdir())
    again = connect(server)
    assert len(list(remote_folder.iterdir())) == 1  # its own
    again.close()
    assert list(remote_folder.iterdir()) == []
    device.close()


def _is_agent(pid: int) -> bool:
    return b"atb-agent" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_its_clock_is_followed(server: OpenSsh, tmp_path: Path) -> None:
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(
        "import time\n_time = time.time\ntime.time = lambda: _time() - 7200\n"
    )
    python = tmp_path / "py thon"
    python.write_text(
        f"#!/bin/sh\nPYTHONPATH={shlex.quote(str(tmp_path / 'site'))} "
        f'exec {shlex.quote(sys.executable)} "$@"\n'
    )
    python.chmod(0o755)
    device = remote_device(server, python=str(python))
    assert device.now() == pytest.approx(time.time() - 7200, abs=1)
    runtime = device.runtimes["onnxruntime"]
    with tempfile.TemporaryDirectory() as folder:
        artefact = runtime.build(SMALL, SETTINGS, Path(folder))
        before = device.now()
        with device.launch(runtime, SETTINGS) as launch:
            launch.load("small", artefact)
            block = launch.run("small", iterations=3)
    assert before <= block.started_at <= device.now()
    device.close()


def test_a_full_disk_is_told(server: OpenSsh, tmp_path: Path) -> None:
    device = remote_device(server, python=str(_short_of_disk(tmp_path, kibibytes=128)))
    runtime = device.runtimes["onnxruntime"]
    artefact = runtime.build(Architecture(2, 128, 4, 128, 512), SETTINGS, tmp_path)
    with device.launch(runtime, SETTINGS) as launch, pytest.raises(LaunchFailure) as caught:
        launch.load("model", artefact)
    assert caught.value.cause == "device-gone"
    assert "could not be stored" in caught.value.detail
    device.close()


def _short_of_disk(folder: Path, *, kibibytes: int) -> Path:
    """A Python that cannot write files of more than so much."""
    python = folder / "short"
    python.write_text(
        f'#!/bin/bash\nulimit -f {kibibytes}\nexec {shlex.quote(sys.executable)} "$@"\n'
    )
    python.chmod(0o755)
    return python
