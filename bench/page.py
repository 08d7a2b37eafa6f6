"""The size of the page, and the time to a first token and a session.

    make test-clients, or PYTHONPATH=. python bench/page.py

Headless Chromium, the real function and the stand-ins run on this machine, so the figures include
neither a network nor Gemini. Each tab is new, with an empty cache.
"""

import gzip
import os
import re
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from playwright.sync_api import Browser, Response, sync_playwright

from emulator.function import ROOT

TABS = 9
POLICY = ROOT / "tests/policy.toml"  # 30 tokens an hour
TIMES = """
async () => {
  const { Conversation, getToken } = await import("/clients/web/livetoken.js");
  const { functionUrl } = await (await fetch("/setup.json")).json();
  const idToken = async () => (await fetch("/issuer/token/ada")).text();
  const source = { url: functionUrl, idToken };
  let heard;
  const sound = new Promise((resolve) => { heard = resolve; });
  const onmessage = ({ serverContent }) => serverContent?.modelTurn && heard();
  const conversation = new Conversation(source, { onmessage });
  const times = [performance.now()];
  const token = await getToken(source);
  times.push(performance.now());
  await conversation.start(token);
  times.push(performance.now());
  conversation.send({ realtimeInput: { text: "Hello!" } });
  await sound;
  times.push(performance.now());
  conversation.close();
  const [{ domContentLoadedEventEnd }] = performance.getEntriesByType("navigation");
  return [domContentLoadedEventEnd, ...times.slice(1).map((time, n) => time - times[n])];
}
"""
STEPS = ("page loaded", "first token", "session open", "first sound")


@contextmanager
def page_url() -> Iterator[str]:
    """Run the emulator, and yield the URL of its page."""
    with tempfile.NamedTemporaryFile("w+") as output:
        run = subprocess.Popen(
            [sys.executable, "-m", "emulator"],
            cwd=ROOT,
            env={**os.environ, "POLICY_FILE": str(POLICY)},
            stdout=output,
            stderr=output,
        )
        try:
            while "The function's log" not in Path(output.name).read_text():
                assert run.poll() is None, Path(output.name).read_text()
                time.sleep(0.05)
            found = re.search(r"^page +(\S+)", Path(output.name).read_text(), re.MULTILINE)
            assert found
            yield found[1]
        finally:
            run.terminate()
            run.wait()


def weigh(browser: Browser, url: str) -> None:
    """Print the size of the page, and of livetoken.js alone."""
    answers: list[Response] = []
    with browser.new_context() as context:
        page = context.new_page()
        page.on("response", lambda answer: answers.append(answer))
        page.goto(url, wait_until="networkidle")
        bodies = {answer.url: answer.body() for answer in answers}
    print(f"the page       {weight(*bodies.values())} in {len(bodies)} files")
    print(f"livetoken.js   {weight(bodies[f'{url}/clients/web/livetoken.js'])}")


def weight(*bodies: bytes) -> str:
    """The total size, plain and with each file compressed."""
    plain, packed = (sum(map(len, each)) for each in (bodies, map(gzip.compress, bodies)))
    return f"{plain / 1000:6.1f} kB, {packed / 1000:5.1f} kB by gzip"


def measure(browser: Browser, url: str) -> None:
    """Print the time of each step."""
    taken: list[list[float]] = []
    for _ in range(TABS):
        with browser.new_context() as context:
            page = context.new_page()
            page.goto(url)
            taken.append(page.evaluate(TIMES))
    for step, times in zip(STEPS, zip(*taken, strict=True), strict=True):
        median, most = statistics.median(times), max(times)
        print(f"{step:<14} {median:6.1f} ms, {most:5.1f} ms at the most of {TABS}")


def main() -> None:
    """Print sizes and times."""
    with page_url() as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"))
        weigh(browser, url)
        measure(browser, url)
        browser.close()


if __name__ == "__main__":
    main()
