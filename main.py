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
    await service.switch.check()
    caller = decision.caller = await service.callers.identify(request.bearer(headers))
    service.switch.check_caller(caller)
    if service.policy.callers.revoked == "check":
        await service.accounts.check(caller)
    # What is the same for all profiles is checked before the body is read.
    app_check_token = request.app_check_token(headers)
    attested = await service.app_check.verify(app_check_token, service.policy.least_app_check)
    service.policy.check(caller)
    with service.under_way.request(caller):
        asked = await request.read(http_request)
        profile = service.policy.profile(asked.profile)
        decision.profile = profile.name
        attested = attested or await service.app_check.verify(app_check_token, profile.app_check)
        profile.check(caller)
        locked_to = constraint.constrain(profile, caller, asked, service.identifiers.of(caller))
        resumes = asked.resume is not None
        if profile.app_check == "consume":
            await service.limiter.look(caller, profile, resumes=resumes)
            await service.app_check.use(attested)
        await service.switch.check()  # again, as the steps in between can take half a minute
        service.switch.check_caller(caller)
        async with service.limiter.reserve(caller, profile, resumes=resumes) as reserved:
            decision.reserved = reserved
            grant = decision.grant = await service.gemini.mint(locked_to, reserved)
    decision.left = await http_request.is_disconnected()
    return answers.minted(grant, reserved, asked, cors)
