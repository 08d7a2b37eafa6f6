"""The function: who asks, what for, is it allowed, mint, answer."""

import os
import sys
from asyncio import AbstractEventLoop

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from livetoken import answers, dialects, headers, worker
from livetoken.decisions import Decision
from livetoken.problems import Problems
from livetoken.refusals import Reason, Refused
from livetoken.service import Service

try:
    service = Service.load(os.environ)
except Problems as problems:
    sys.exit("\n".join(f"livetoken: {line}" for line in problems.lines))

worker.serve_on("main:new_loop")


def new_loop() -> AbstractEventLoop:
    """Make a worker's event loop, after the fork: the keys and Gemini are reached ahead."""
    return worker.loop_starting_with(service.warm_up)


@functions_framework.aio.http
async def mint_token(request: Request) -> Response:
    """Answer one HTTP request, with a token or with a reason; log the decision either way."""
    cors = service.origins.grant(request.headers)
    with Decision(request.headers, service.trace_project) as decision:
        try:
            if request.method == "OPTIONS":
                service.origins.admit(request.headers)
                decision.nothing()
                return answers.preflight(cors)
            return await exchange(request, decision, cors)
        except Refused as refusal:
            decision.refused(refusal)
            return answers.refused(refusal, cors)
        except Exception as error:  # whatever it is, its text stays here and the caller gets 500
            return answers.refused(decision.failed(error), cors)


async def exchange(request: Request, decision: Decision, cors: dict[str, str]) -> Response:
    """Exchange an ID token for a Gemini Live token: the contract's order, a line a step."""
    if request.method != "POST":
        raise Refused(Reason.METHOD_NOT_ALLOWED)
    service.origins.admit(request.headers)
    caller = decision.caller = await service.callers.identify(headers.bearer(request.headers))
    app_check = headers.app_check(request.headers)
    await service.app_check.verify(app_check)
    service.caller_rules.admit(caller)
    ask = await dialects.read(request)
    compiled = service.profile(ask.profile)
    decision.profile = ask.profile
    compiled.profile.admit(caller)
    constraint = compiled.constraint(caller, ask.resume)
    await service.app_check.use(app_check)
    async with service.limits.use(caller, compiled.profile, decision.attempt):
        grant = await service.gemini.mint(constraint, decision.attempt)
    decision.minted(grant)
    if await request.is_disconnected():
        decision.left()
    return answers.minted(grant, ask, cors)
