"""What a machine sends that is none of ours, behind a real OpenSSH server on loopback."""

import shlex
import sys
from pathlib import Path

import pytest
from openssh import OpenSsh

from atb.devices.adding import add_device
from atb.devices.remote.saved_devices import read_devices
from atb.errors import RunError

pytestmark = pytest.mark.slow

GREETING = 'import sys, json, time\nprint(\'{"greeting": "atb-agent 1"}\', flush=True)\n'


@pytest.mark.parametrize(
    "script",
    [
        "print('hello')",
        "print('x' * 10 + '\\n' * 2000)",
        "sys.stdout.write('x' * (65 << 20)); sys.stdout.flush(); time.sleep(10)",
        GREETING + "print('{\"answer\": 7}', flush=True); time.sleep(10)",
        GREETING + "print('[' * 10000, flush=True); time.sleep(10)",
        GREETING + 'print(\'{"answer": {"platform": {"processor": NaN}}}\', flush=True)',
        GREETING + 'print(\'{"answer": {"platform": {"../x": "y"}}}\', flush=True)',
        GREETING + 'print(\'{"answer": {"platform": {}, "clusters": [[-1]]}}\', flush=True)',
        GREETING + 'print(\'{"worker": "x"}\', flush=True); time.sleep(10)',
        GREETING + "print('{\"error\": [1]}', flush=True); time.sleep(10)",
        GREETING + "print('{\"answer\": {}}\\n' * 5000, flush=True); time.sleep(10)",
        GREETING,
    ],
)
def test_what_breaks_the_protocol_is_one_sentence(
    script: str, openssh: OpenSsh, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ATB_DEVICES", str(tmp_path / "devices.json"))
    (tmp_path / "broken.py").write_text("import sys, time\n" + script)
    python = tmp_path / "liar"
    python.write_text(
        f"#!/bin/sh\nexec {shlex.quote(sys.executable)} {shlex.quote(str(tmp_path))}/broken.py\n"
    )
    python.chmod(0o755)
    with pytest.raises(RunError) as caught:
        add_device(
            "board",
            openssh.url,
            python=str(python),
            key=openssh.key,
            known_hosts=openssh.known_hosts,
        )
    assert openssh.url in str(caught.value)
    assert len(str(caught.value)) < 1500
    assert not read_devices()
