"""A policy's profiles, compiled by google-genai into the exact bodies that Gemini gets.

The SDK is the only thing that knows how a `LiveConnectConfig` is written on the wire, so it does
the writing, through its public API and a transport that keeps the request instead of sending it.
What it would let pass or drop in silence is refused here first, by its own types.

Importing this module imports google-genai, which costs about half a second.
"""

import base64
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from copy import deepcopy
from functools import cache
from itertools import zip_longest
from typing import Any, cast

import httpx2
import pydantic
from google import genai
from google.genai import types
from google.genai.errors import ExperimentalWarning

from livetoken.constraint import SETUP
from livetoken.models import MODELS
from livetoken.policy import Policy, Profile
from livetoken.problems import Problems, dotted
from livetoken.setup import mask
from livetoken.typecheck import Mistake, Path, check

Body = dict[str, Any]

NOT_OURS = {
    "http_options": "is the client's, not the session's; Gemini would never see it",
    "generation_config": "write its fields here, without generation_config around them",
}
_VERTEX_ONLY = re.compile(r"(\w+) parameter is only supported in")


def compile_policy(policy: Policy) -> dict[str, Body]:
    """Compile every profile: its name to its request body, without the times.

    Raises:
        Problems: every mistake of the policy, in a profile's `config` or not, with its path.
    """
    problems = list(policy.problems)
    bodies: dict[str, Body] = {}
    with _without_variables():
        for profile in policy.profiles.values():
            try:
                mistakes = list(_mistakes(profile))
                sound = _without(profile.config, [path for path, _ in mistakes])
                bodies[profile.name], more = _compile(policy.api_version, profile.model, sound)
                if left_open := mask(profile.client_may_set):
                    bodies[profile.name]["fieldMask"] = left_open
                mistakes += more
            except RecursionError:
                mistakes = [((), "is nested too deeply")]
            at = ("profiles", profile.name, "config")
            problems += [f"{dotted(*at, *path)}: {message}" for path, message in mistakes]
    if problems:
        raise Problems(problems)
    return bodies


def _mistakes(profile: Profile) -> Iterator[Mistake]:
    """Everything that can be told before the SDK converts anything."""
    config = dict(profile.config)
    for name, message in NOT_OURS.items():
        if config.pop(name, None) is not None:
            yield (name,), message
    yield from check(types.LiveConnectConfig, config)
    if "response_modalities" not in config:
        yield ("response_modalities",), 'is required, such as ["AUDIO"]'
    resumption = config.get("session_resumption")
    if isinstance(resumption, dict) and "handle" in resumption:
        yield ("session_resumption", "handle"), "belongs to one session, not to a policy"
    instruction = config.get("system_instruction")
    if instruction in ("", {}):
        yield ("system_instruction",), "is empty: leave it out"
    yield from _thinking(profile)


def _thinking(profile: Profile) -> Iterator[Mistake]:
    model = MODELS.get(profile.model.removeprefix("models/"))
    thinking = profile.config.get("thinking_config")
    level = thinking.get("thinking_level") if isinstance(thinking, dict) else None
    if model is not None and model.thinking_level != (level is not None):
        verb = "demands" if model.thinking_level else "refuses"
        yield ("thinking_config", "thinking_level"), f"{profile.model} {verb} one"


def _compile(api_version: str, model: str, config: dict[str, Any]) -> tuple[Body, list[Mistake]]:
    """Compile one profile, taking out what the SDK refuses until it compiles."""
    mistakes: list[Mistake] = []
    while config:
        try:
            with warnings.catch_warnings(record=True) as raised:
                warnings.simplefilter("always")
                written = json.dumps(config)
                parsed = types.LiveConnectConfig.model_validate_json(written)
                body = _request_body(api_version, model, parsed)
        except pydantic.ValidationError as error:
            refused = [(tuple(map(str, each["loc"])), each["msg"]) for each in error.errors()]
            return {}, mistakes + refused
        except ValueError as error:
            match = _VERTEX_ONLY.match(str(error))
            path = _remove(config, match[1]) if match else None
            if path is None:
                return {}, [*mistakes, ((), str(error))]
            mistakes.append((path, "is for Vertex AI, which has no tokens"))
            continue
        mistakes += [
            ((), str(warning.message))
            for warning in raised
            if not issubclass(warning.category, (ExperimentalWarning, DeprecationWarning))
        ]
        return body, mistakes + [(path, "google-genai drops it") for path in _dropped(parsed, body)]
    return {}, mistakes


def _request_body(api_version: str, model: str, config: types.LiveConnectConfig) -> Body:
    """Have google-genai write the request, and keep it instead of sending it."""
    client, kept = _recorder(api_version)
    constraints = types.LiveConnectConstraints(model=model, config=config)
    client.auth_tokens.create(
        config=types.CreateAuthTokenConfig(uses=1, live_connect_constraints=constraints)
    )
    return cast(Body, json.loads(kept.pop()))


@cache
def _recorder(api_version: str) -> tuple[genai.Client, list[bytes]]:
    """Return a client that sends nothing, and the requests that it keeps.

    One for all profiles: making a client costs ten times what a request does.
    """
    kept: list[bytes] = []

    def keep(request: httpx2.Request) -> httpx2.Response:
        kept.append(request.content)
        return httpx2.Response(200, json={"name": "auth_tokens/none"})

    options = types.HttpOptions(
        api_version=api_version,
        httpx_client=httpx2.Client(transport=httpx2.MockTransport(keep)),
    )
    return genai.Client(api_key="none", vertexai=False, http_options=options), kept


def _dropped(config: types.LiveConnectConfig, body: Body) -> Iterator[Path]:
    """The paths whose value does not come out in the body: a net under every other check."""
    setup = {name: value for name, value in body[SETUP].items() if name != "model"}
    wire = Counter(value for _, value in _leaves(setup))
    for path, value in _leaves(config.model_dump(exclude_none=True)):
        if not wire[value]:
            yield path
        wire[value] -= 1


def _leaves(value: Any, path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Every scalar and every empty table or list, with its path, as JSON."""
    if isinstance(value, dict) and value:
        for key, inner in value.items():
            yield from _leaves(inner, (*path, key))
    elif isinstance(value, list) and value:
        for index, inner in enumerate(value):
            yield from _leaves(inner, (*path, str(index)))
    else:
        yield path, json.dumps(value, default=_scalar)


def _scalar(value: Any) -> str:
    """A value that JSON has no type for, as google-genai writes it."""
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).decode()
    return str(value.isoformat())


def _remove(value: Any, name: str, path: Path = ()) -> Path | None:
    """Take the first key of that name out of a tree and return its path."""
    if isinstance(value, dict):
        if name in value:
            del value[name]
            return (*path, name)
        inner: Iterable[tuple[str, Any]] = value.items()
    elif isinstance(value, list):
        inner = ((str(index), each) for index, each in enumerate(value))
    else:
        return None
    found = (_remove(each, name, (*path, key)) for key, each in inner)
    return next(filter(None, found), None)


def _without(config: Mapping[str, Any], paths: list[Path]) -> dict[str, Any]:
    """Return a copy of a config without what stands at some paths, down to the first list."""
    left = deepcopy(dict(config))
    for path in paths:
        at: Any = left
        for key, following in zip_longest(path, path[1:]):
            if following is None or not isinstance(at.get(key), dict):
                at.pop(key, None)
                break
            at = at[key]
    return left


@contextmanager
def _without_variables() -> Iterator[None]:
    """Hide what the SDK would read: project, version, key, mode, proxies, authorities."""
    ours = ("GOOGLE_", "GEMINI_", "SSL_CERT_")
    hidden = {
        name: value
        for name, value in os.environ.items()
        if name.startswith(ours) or name.lower().endswith("_proxy")
    }
    for name in hidden:
        del os.environ[name]
    try:
        yield
    finally:
        os.environ.update(hidden)
