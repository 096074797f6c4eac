import json
import signal
import socket
import subprocess
import sys
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest
from typer.testing import CliRunner

from paecli.cli.app import app
from paecli.serve import address
from paecli.system.errors import UsageError

WITHOUT_UVICORN = """
import sys, importlib.util as util
find = util.find_spec
util.find_spec = lambda name, *rest: None if name == "uvicorn" else find(name, *rest)
from paecli.cli.app import main
sys.argv = ["pae", "serve"]
try:
    main()
finally:
    print("torch" in sys.modules)
"""


def test_without_the_extra_one_line_says_how_to_install_it() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", WITHOUT_UVICORN], capture_output=True, text=True, check=False
    )
    assert ended.returncode == 2
    assert "needs uvicorn" in ended.stderr
    assert "pip install 'paecli[web]'" in ended.stderr
    assert len(ended.stderr.splitlines()) == 1
    assert ended.stdout == "False\n"


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_it_serves_until_it_is_interrupted(number: int, model_file: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "paecli", "serve", str(model_file), "--no-browser", "--json"]
    with subprocess.Popen(
        [*command, "--port", "0", "--threads", "1"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, cwd=tmp_path,
    ) as server:  # fmt: skip
        assert server.stdout is not None
        parts = urlsplit(json.loads(server.stdout.readline())["address"])
        assert parts.hostname == "127.0.0.1"
        connection = HTTPConnection("127.0.0.1", parts.port or 0, timeout=60)
        connection.request("GET", f"/?{parts.query}")
        assert connection.getresponse().status == 200
        connection.close()
        server.send_signal(number)
        said, words = server.communicate(timeout=60)
    assert server.returncode == 0, words
    assert words.splitlines()[-2:] == ["Ctrl-C ends it.", "Stopped."]
    assert said == ""
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("options", [[], ["--quiet"]])
def test_the_address_is_said_on_a_line_of_its_own_also_when_quiet(
    options: list[str], model_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("paecli.serve.run.serve", lambda *given, ready, **more: ready())
    command = ["serve", str(model_file), "--no-browser", "--port", "0", "--threads", "1", *options]
    said = CliRunner().invoke(app, command)
    assert said.exit_code == 0
    told = [line for line in said.stderr.splitlines() if line.startswith("The page is at http://")]
    assert len(told) == 1
    assert " " not in told[0].removeprefix("The page is at ")
    assert said.stdout == ""


def test_a_port_that_is_taken_is_said_unless_any_will_do(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        with pytest.raises(UsageError, match=f"cannot listen on port {port}.*--port, or 0"):
            address.listen(port)
        monkeypatch.setattr(address, "USUAL_PORT", port)
        with address.listen(None) as other:
            assert other.getsockname()[0] == "127.0.0.1"
            assert other.getsockname()[1] != port


def test_a_browser_is_opened_only_where_there_is_a_screen(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[str] = []
    monkeypatch.setattr(address.webbrowser, "open", lambda url: opened.append(url) or True)
    monkeypatch.setattr(address.sys, "platform", "linux")
    for name in address.DISPLAYS:
        monkeypatch.delenv(name, raising=False)
    assert not address.open_browser("http://a")
    monkeypatch.setenv("DISPLAY", ":0")
    assert address.open_browser("http://b")
    assert opened == ["http://b"]
