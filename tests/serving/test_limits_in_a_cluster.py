"""Limits in a Redis cluster: all keys are on one node, which the function finds from any other."""

from collections import Counter
from contextlib import ExitStack

import pytest
from limited import POLICY, connect, new_caller
from redis_server import RedisServer
from stack import Stack

from livetoken.refusals import Reason

KEY = "{livetoken}"


@pytest.mark.slow
def test_every_node_leads_to_the_same_counts(alone: Stack, cluster: list[RedisServer]) -> None:
    with ExitStack() as running:
        functions = []
        for server in cluster:
            uri = server.uri.removesuffix("/3")  # a cluster has one database
            functions.append(running.enter_context(alone.running(POLICY, LIMITS_STORAGE=uri)))
            connect(functions[-1])
        with new_caller(functions[0]) as caller:
            answers = caller.at_once("crowd", 60, *functions[1:])
            assert Counter(answer.status for answer in answers) == {200: 20, 429: 40}
        (owner,) = [server for server in cluster if server.owns(KEY)]
        owner.die()
        for function in functions:
            with new_caller(function) as caller:
                assert caller.ask().is_refusal(Reason.LIMITS_UNAVAILABLE)
                assert not caller.gemini.mints
