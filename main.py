"""The function: identify the caller, read the request, apply the policy, mint, answer."""

import os
import sys
from asyncio import AbstractEventLoop

import functions_framework.aio
from starlette.requests import Request
from starlette.responses import Response

from livetoken import answers, connection, constraint, request, worker
from livetoken.decisions import Decision
from livetoken.mistakes import Mistakes
from livetoken.refusals import Reason, Refused
from livetoken.service import Service

try:
    service = Service.load(os.environ)
except Mistakes as found:
    sys.exit("\n".join(f"livetoken: {mistake}" for mistake in found.mistakes))

worker.serve_on("main:new_loop")


def new_loop() -> AbstractEventLoop:
    """Make a worker's event loop, after the fork. Its first task fetches keys and connects."""
    return worker.loop_starting_with(service.warm_up)


@functions_framework.aio.http
async def mint_token(http_request: Request) -> Response:
    """Answer one HTTP request with a token or with a reason. Either way, log the decision."""
    cors = service.origins.grant(http_request.headers)
    with Decision(http_request.headers, service.trace_project) as decision:
        try:
            if http_request.method == "OPTIONS":
                service.origins.check(http_request.headers)
                decision.silent = True
                return answers.preflight(cors)
            return await exchange(http_request, decision, cors)
        except Refused as refusal:
            decision.refusal = refusal
            return answers.refused(refusal, cors)
        except Exception as error:  # any other error: the caller gets a 500 without its text
            return answers.refused(decision.failed(error), cors)


async def exchange(http_request: Request, decision: Decision, cors: dict[str, str]) -> Response:
    """Exchange an ID token for a Gemini Live token, one line for each step of the contract."""
    if http_request.method != "POST":
        raise Refused(Reason.METHOD_NOT_ALLOWED)
    connection.check(http_request.scope)
    headers = http_request.headers
    service.origins.check(headers)
    caller = decision.caller = await service.callers.identify(request.bearer(headers))
    app_check_token = request.app_check_token(headers)
    await service.app_check.verify(app_check_token)
    service.policy.callers.check(caller)
    with service.under_way.request(caller):
        asked = await request.read(http_request)
        profile = service.policy.profile(asked.profile)
        decision.profile = profile.name
        profile.check(caller)
        locked_to = constraint.constrain(profile, caller, asked.resume)
        await service.app_check.use(app_check_token)
        async with service.limiter.use(caller, profile):
            grant = decision.grant = await service.gemini.mint(locked_to)
    decision.left = await http_request.is_disconnected()
    return answers.minted(grant, asked, cors)
