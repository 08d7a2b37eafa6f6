"""Cloud Run stops the CPU between requests; an instance must continue afterwards."""

import os
import signal
import time

from stack import POLICY, Stack

from livetoken.refusals import Reason


def test_a_worker_without_cpu_for_a_while_is_not_killed(alone: Stack) -> None:
    once = POLICY.replace("[profiles.default]", '[profiles.default]\nlimit = "1/day"')
    with alone.running(once, CLOUD_RUN_TIMEOUT_SECONDS="1") as livetoken:
        assert livetoken.ask().status == 200
        group = livetoken.function.process.pid
        os.killpg(group, signal.SIGSTOP)
        time.sleep(2.5)  # more than twice the timeout that gunicorn would apply
        os.killpg(group, signal.SIGCONT)
        time.sleep(1.5)  # gunicorn checks once a second
        assert livetoken.ask().is_refusal(Reason.LIMIT_REACHED)
