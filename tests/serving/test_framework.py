"""Variables and servers of the framework that could change how requests are read or counted."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from asking import profile
from limited import connect
from policies import HEAD
from redis_server import RedisServer
from stack import API_KEY, POLICY, Stack, until

from emulator.function import ROOT, NotStarted, hold_port
from livetoken.refusals import Reason

LIMITED = HEAD + profile("default", 'limit = "1/day"')


def test_the_framework_s_debug_server_does_not_start(alone: Stack) -> None:
    with pytest.raises(NotStarted) as ended, alone.running(DEBUG="1"):
        pass
    (line,) = str(ended.value).splitlines()
    assert line.startswith("livetoken: DEBUG: ")


def test_another_server_mints_nothing(alone: Stack, tmp_path: Path) -> None:
    """uvicorn serves the function by itself, but reads trailers as headers."""
    policy, log = tmp_path / "policy.toml", tmp_path / "log"
    policy.write_text(POLICY)
    port = hold_port()
    variables = alone.environment(POLICY_FILE=str(policy), FUNCTION_TARGET="mint_token")
    command = ["-m", "uvicorn", "functions_framework.aio:app", "--host=127.0.0.1", f"--port={port}"]
    with (
        log.open("wb") as output,
        subprocess.Popen(
            [sys.executable, *command],
            cwd=ROOT,
            env={**os.environ, **variables},
            stdout=output,
            stderr=output,
        ) as process,
    ):
        try:
            until(lambda: "running on" in log.read_text(), 20)
            alone.function = type("Function", (), {"port": port})()
            assert alone.ask().is_refusal(Reason.INTERNAL)
        finally:
            process.terminate()
    assert '"OTHER_SERVER"' in log.read_text()
    assert not alone.gemini.mints


@pytest.mark.parametrize("name", ["WORKERS", "WEB_CONCURRENCY"])
def test_two_workers_do_not_start_with_limits_in_memory(alone: Stack, name: str) -> None:
    with pytest.raises(NotStarted) as ended, alone.running(LIMITED, **{name: "2"}):
        pass
    (line,) = str(ended.value).splitlines()
    assert line.startswith(f"livetoken: {name}: ")


def test_two_workers_share_limits_in_redis(alone: Stack, tmp_path: Path) -> None:
    with (
        RedisServer(tmp_path) as redis,
        alone.running(LIMITED, WORKERS="2", LIMITS_STORAGE=redis.uri) as livetoken,
    ):
        connect(livetoken, in_a_row=8)
        assert livetoken.ask().status == 200
        for _ in range(8):
            assert livetoken.ask().is_refusal(Reason.LIMIT_REACHED)


def test_the_framework_s_own_logs_hold_no_secret(alone: Stack) -> None:
    verbose = {"GUNICORN_LOG_LEVEL": "debug", "LOG_EXECUTION_ID": "true"}
    with alone.running(**verbose, PYTHONASYNCIODEBUG="1") as livetoken:
        token = livetoken.issuer.id_token("ada")
        assert livetoken.ask(token=token).status == 200
        assert livetoken.ask(token=token[:-9] + "A" * 9).is_refusal(Reason.INVALID_ID_TOKEN)
        livetoken.logged(2)
        output = livetoken.function.output()
    assert "debug" in output.lower(), "the log is not verbose"
    for secret in (API_KEY, token, token.split(".")[2], "ada@"):
        assert secret not in output
