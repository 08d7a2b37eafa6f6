"""Log entries as functions and Cloud Run write them to Cloud Logging."""

import json
import socket
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from log_filter import Entry
from stack import Answer, Stack, stack, until

from emulator.behaviour import Fault
from emulator.function import ROOT, Function, NotStarted
from emulator.google_errors import REFUSALS
from emulator.tls import Certificate

SERVICE = "livetoken"
RULES = """
api_version = "v1alpha"
[callers]
app_check = "APP_CHECK"
[profiles.default]
model = "gemini-3.8-live"
[profiles.default.config]
response_modalities = ["AUDIO"]
[profiles.scarce]
model = "gemini-3.8-live"
limit = "1/hour"
[profiles.scarce.config]
response_modalities = ["AUDIO"]
[profiles.minute]
model = "gemini-3.8-live"
budget = "1m/hour"
expires_in = "1m"
[profiles.minute.config]
response_modalities = ["AUDIO"]
[profiles.single]
model = "gemini-3.8-live"
at_once = 1
[profiles.single.config]
response_modalities = ["AUDIO"]
[profiles.shared]
model = "gemini-3.8-live"
total.limit = "1/hour"
[profiles.shared.config]
response_modalities = ["AUDIO"]
[profiles.closed]
model = "gemini-3.8-live"
require = { plan = ["none"] }
[profiles.closed.config]
response_modalities = ["AUDIO"]
"""
NOWHERE = "http://127.0.0.1:1/keys"
TRACE = {"X-Cloud-Trace-Context": "0af7651916cd43dd8448eb211c80319c/1"}


def every_entry(certificate: Certificate, folder: Path) -> list[Entry]:
    """The entries in Cloud Logging after functions have refused a request for every reason.

    Args:
        folder: for the files of these functions.
    """
    rules = RULES.replace("APP_CHECK", "off")
    with (
        stack(certificate) as unstarted,
        unstarted.running(rules, FIREBASE_KEYS_URL=NOWHERE) as livetoken,
    ):
        with _slow_mints(livetoken):
            _provoke_every_refusal(livetoken)
            lines = [
                *_lines_without_limits_and_app_check(unstarted),
                *_lines_of_a_switch(unstarted),
                *_lines_of_an_unexpected_error(unstarted, folder),
                *_lines_of_a_failed_start(unstarted, folder),
            ]
        lines += livetoken.function.output().splitlines()
    return [*map(_entry, lines), *_entries_of_cloud_run()]


@contextmanager
def _slow_mints(livetoken: Stack) -> Iterator[None]:
    """Start two mints: one takes over three seconds, one fails after six."""
    behaviour, token = livetoken.gemini.behaviour, livetoken.issuer.id_token("grace")
    behaviour.faults.append("hang")
    behaviour.delay = 3.2
    with ThreadPoolExecutor() as pool:
        for _ in range(2):
            pool.submit(livetoken.ask, token=token)
        until(lambda: len(livetoken.gemini.mints) == 2)
        time.sleep(0.1)
        behaviour.delay = 0
        yield


def _provoke_every_refusal(livetoken: Stack) -> None:
    """Get every answer of a function that cannot fetch Firebase's keys."""
    token = livetoken.issuer.id_token

    def ask(body: Any = b"{}", **others: Any) -> Answer:
        return livetoken.ask(body, **{"token": token("grace"), **others})

    assert ask(headers=TRACE).status == 200
    faults: list[Fault] = [429, "daily", 400, 404, 500, *REFUSALS]
    for fault in faults:
        livetoken.gemini.behaviour.faults.append(fault)
        ask()
    ask(token=token("ada"))
    ask(token=None)
    ask(token="x")
    ask(token=token("grace", exp=1_700_000_000))
    ask(headers={"Origin": "https://other.example"})
    ask(headers={"Content-Type": "text/plain"})
    ask(method="GET")
    ask(b"{")
    ask(b"x" * 9000)
    for profile in ("other", "closed"):
        ask({"profile": profile})
    for profile in ("scarce", "minute", "single", "shared"):
        ask({"profile": profile})
        ask({"profile": profile})
    _leave(livetoken, token("grace"))


def _leave(livetoken: Stack, token: str) -> None:
    """Send half a request, then disconnect."""
    head = f"POST / HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {token}\r\n"
    with socket.create_connection(("127.0.0.1", livetoken.function.port), 5) as client:
        client.sendall(f"{head}Content-Length: 9\r\n\r\n{{".encode())
    until(lambda: '"CALLER_LEFT"' in livetoken.function.output())


def _lines_without_limits_and_app_check(unstarted: Stack) -> list[str]:
    check, nowhere = unstarted.app_check, "async+redis://127.0.0.1:1"
    rules = RULES.replace('"APP_CHECK"', '"consume"\nrevoked = "check"')
    with unstarted.running(rules, LIMITS_STORAGE=nowhere) as livetoken:
        livetoken.ask()
        of_tenant = {"identities": {}, "sign_in_provider": "password", "tenant": "shop-a1b2c"}
        unstarted.accounts.add("ada-uid", "shop-a1b2c")
        livetoken.ask(token=livetoken.issuer.id_token("ada", firebase=of_tenant))
        unstarted.accounts.fault = 503
        livetoken.ask(token=livetoken.issuer.id_token("bob"))
        unstarted.accounts.fault = None
        check.verdict_fault = 503
        livetoken.ask(headers={"X-Firebase-AppCheck": check.token()})
        check.verdict_fault = None
        livetoken.ask({"profile": "scarce"}, headers={"X-Firebase-AppCheck": check.token()})
        return livetoken.function.output().splitlines()


def _lines_of_a_switch(unstarted: Stack) -> list[str]:
    """The lines of a function that is stopped, and of one that cannot read its switch."""
    unstarted.storage.write("switches", "stopped", b'{"stopped": true, "banned": []}')
    lines = []
    for name in ("gs://switches/stopped", "gs://nowhere/switch"):
        with unstarted.running(SWITCH_OBJECT=name) as livetoken:
            livetoken.ask()
            lines += livetoken.function.output().splitlines()
    return lines


def _lines_of_an_unexpected_error(unstarted: Stack, folder: Path) -> list[str]:
    """The lines of a function that fails, and whose policy has no lock."""
    policy = folder / "policy.toml"
    policy.write_text(RULES.replace("APP_CHECK", "off"))
    source = str(ROOT / "tests" / "functions" / "failing.py")
    changes = {"POLICY_FILE": str(policy), "FUNCTION_SOURCE": source, "PYTHONPATH": "."}
    with unstarted.running(**changes) as livetoken:
        livetoken.ask()
        return livetoken.function.output().splitlines()


def _lines_of_a_failed_start(unstarted: Stack, folder: Path) -> list[str]:
    variables = unstarted.environment(GEMINI_API_KEY=None)
    with (
        (folder / "log").open("wb") as log,
        Function(variables, log=log) as function,
        pytest.raises(NotStarted) as ended,
    ):
        function.wait_until_up()
    return str(ended.value).splitlines()


def _entry(line: str) -> Entry:
    """The entry that Cloud Logging creates for a line.

    Severity and trace leave jsonPayload. If only `message` is left, it becomes textPayload:
    https://cloud.google.com/logging/docs/structured-logging
    """
    if not line.startswith("{"):
        return _logged("stderr", textPayload=line)
    fields = json.loads(line)
    moved = {"severity": fields.pop("severity")}
    if trace := fields.pop("logging.googleapis.com/trace", None):
        moved["trace"] = trace
    if fields.keys() == {"message"}:
        return _logged("stdout", **moved, textPayload=fields["message"])
    return _logged("stdout", **moved, jsonPayload=fields)


def _entries_of_cloud_run() -> list[Entry]:
    """Entries that Cloud Run writes itself.

    Apart from names, the texts are quoted from
    https://github.com/1Password/scim-examples/issues/309 and
    https://github.com/firebase/firebase-functions/issues/962; request logs of answers by the
    function have no text.
    """
    probe = (
        'Default STARTUP TCP probe failed 1 time consecutively for container "worker" on port 8080.'
        " The instance was not started."
    )
    full = "The request was aborted because there was no available instance."
    return [
        _logged("varlog/system", severity="ERROR", textPayload=probe),
        _logged("requests", severity="ERROR", textPayload=full, httpRequest={"status": 429}),
        _logged("requests", severity="WARNING", httpRequest={"status": 401}),
        _logged("requests", severity="INFO", httpRequest={"status": 200}),
    ]


def _logged(log: str, **fields: Any) -> Entry:
    labels = {"service_name": SERVICE, "revision_name": f"{SERVICE}-00001-abc"}
    resource = {"type": "cloud_run_revision", "labels": labels}
    return {
        "severity": "DEFAULT",
        "log": f"run.googleapis.com/{log}",
        "resource": resource,
        **fields,
    }
