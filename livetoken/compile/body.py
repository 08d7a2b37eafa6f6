"""A profile's request body, as google-genai writes it.

Only the SDK knows how a `LiveConnectConfig` is written on the wire. So it does the writing, through
its public API and a transport that keeps the request instead of sending it. `strict` and
`policy_file` first refuse what the SDK would let pass or drop.

Importing this module imports google-genai, which takes about half a second.
"""

import base64
import json
import os
import re
import warnings
from collections import Counter
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from functools import cache, partial
from typing import Any, cast

import httpx2
import pydantic
from google import genai
from google.genai import types
from google.genai.errors import ExperimentalWarning

from livetoken.compile import choices, claims, defaults, policy_file, toml_source
from livetoken.compile.defaults import Locate
from livetoken.compile.policy_file import (
    LEAST,
    SESSIONS_AT_ONCE,
    START_WITHIN,
    CallersTable,
    PolicyTable,
    ProfileTable,
    TotalTable,
)
from livetoken.compile.strict import Found, Path, nodes
from livetoken.constraint import FIELDS, SETUP, mask
from livetoken.instruction import ClaimText
from livetoken.mistakes import Mistake, Mistakes, dotted
from livetoken.policy import Anonymous, Bounds, CallerRules, Choice, Policy, Profile, Requirement

Body = dict[str, Any]

_VERTEX_ONLY = re.compile(r"(\w+) parameter is only supported in")
"""What google-genai says of a field that only Vertex AI has."""


def compile_policy(source: bytes) -> Policy:
    """Compile a policy's bytes.

    Raises:
        Mistakes: every mistake in the policy.
    """
    return compile_document(toml_source.parse(source))


def compile_document(document: Mapping[str, Any]) -> Policy:
    """Compile a parsed policy.

    Raises:
        Mistakes: every mistake in the policy.
    """
    whole = defaults.merged(document)
    table, found = policy_file.read(whole)
    found += defaults.clashes(document)
    version = "v1alpha" if table is None else table.api_version
    bodies: dict[str, Body] = {}
    chosen: dict[str, tuple[Choice, ...]] = {}
    with _without_variables():
        for name, config in policy_file.configs_in(whole).items():
            at = ("profiles", name, "config")
            if any(at[: len(path)] == path for path, _ in found):
                continue  # no part of it was checked
            # Without a table there is no name; google-genai accepts any.
            model = "none" if table is None else str(table.profiles[name].model)
            try:
                wrong = {_to_a_list(config, path[3:]) for path, _ in found if path[:3] == at}
                profile = {**whole["profiles"][name], "config": _without(config, wrong)}
                bodies[name], chosen[name], more = _compiled(version, model, profile)
                found += [((*at[:2], *path), message) for path, message in more]
            except RecursionError:
                found.append((at, "is nested too deeply"))
    if table is None or found:
        said = defaults.as_written(found, document)
        mistakes = (Mistake(dotted(*path), message) for path, message in said)
        raise Mistakes(mistakes, policy_file.app_check(whole))
    return _decided(table, bodies, chosen, defaults.locator(document))


def _to_a_list(value: Any, path: Path) -> Path:
    """Return a path up to the first list on it: without an item, others would move."""
    if not path or not isinstance(value, dict):
        return ()
    return (path[0], *_to_a_list(value.get(path[0]), path[1:]))


def _decided(
    table: PolicyTable,
    bodies: Mapping[str, Body],
    chosen: Mapping[str, tuple[Choice, ...]],
    written: Locate,
) -> Policy:
    """Return the decided policy."""
    callers = table.callers
    return Policy(
        api_version=table.api_version,
        callers=CallerRules(
            _requirements(callers.require, written, "callers"),
            callers.max_auth_age,
            callers.app_check_apps,
            callers.revoked,
            callers.safety_identifier,
        ),
        total=_total(table.total, written, ("total",)),
        profiles={
            name: _profile(name, profile, bodies[name], chosen[name], table, written)
            for name, profile in table.profiles.items()
        },
    )


def _profile(
    name: str,
    table: ProfileTable,
    body: Body,
    chosen: tuple[Choice, ...],
    policy: PolicyTable,
    written: Locate,
) -> Profile:
    left_open, at, of_all = mask(table.client_may_set), ("profiles", name), policy.total
    budgets = (*table.budget, *table.total.budget, *of_all.budget)
    totals = (table.total, of_all)
    counts_sessions = budgets or any(each.at_once is not None for each in totals)
    at_once = SESSIONS_AT_ONCE if table.at_once is None and counts_sessions else table.at_once
    least = min(LEAST, table.expires_in, *(each.amount for each in budgets))
    return Profile(
        name=name,
        model=str(table.model),
        expires_in=table.expires_in,
        start_within=table.start_within or min(START_WITHIN, table.expires_in),
        least=table.least or least,
        anonymous=_anonymous(table, policy.callers, written, at),
        app_check=table.app_check or policy.callers.app_check,
        bounds=_bounds(table, at_once, written, at),
        total=_total(table.total, written, (*at, "total")),
        require=_requirements(table.require, written, *at),
        claims=tuple(
            ClaimText(
                claim, each.max_length, each.default, dotted(*written((*at, "claims", claim)))
            )
            for claim, each in table.claims.items()
        ),
        choices=tuple(
            replace(each, path=dotted(*written((*at, "choices", each.name)))) for each in chosen
        ),
        client_may_set=tuple(name for name in FIELDS if name in table.client_may_set),
        body={**body, "fieldMask": left_open} if left_open else body,
    )


def _anonymous(table: ProfileTable, callers: CallersTable, written: Locate, at: Path) -> Anonymous:
    key = "allow_anonymous"
    if table.allow_anonymous is None:
        return Anonymous(callers.allow_anonymous, dotted("callers", key))
    return Anonymous(table.allow_anonymous, dotted(*written((*at, key))))


def _total(table: TotalTable, written: Locate, at: Path) -> Bounds:
    return _bounds(table, table.at_once, written, at)


def _bounds(
    table: ProfileTable | TotalTable, at_once: int | None, written: Locate, at: Path
) -> Bounds:
    bounded = {"limit": table.limit, "budget": table.budget, "at_once": at_once}
    paths = {key: dotted(*written((*at, key))) for key, value in bounded.items() if value}
    return Bounds(table.limit, table.budget, at_once, paths)


def _requirements(
    table: Mapping[str, Any], written: Locate, *above: str
) -> tuple[Requirement, ...]:
    return tuple(
        Requirement(claim, tuple(accepted), dotted(*written((*above, "require", *path))))
        for path, claim, accepted in claims.claims(table)
    )


def _compiled(
    api_version: str, model: str, profile: Mapping[str, Any]
) -> tuple[Body, tuple[Choice, ...], list[Found]]:
    """Compile one profile. The mistakes are below the profile."""
    config, offered = profile["config"], choices.offers(profile)
    body, found = _compile(api_version, model, choices.completed(config, offered))
    if found:
        where = [(choices.placed(path, config, offered), message) for path, message in found]
        return body, (), where
    return body, *choices.decided(config, offered, partial(_setup, api_version, model))


def _compile(api_version: str, model: str, config: dict[str, Any]) -> tuple[Body, list[Found]]:
    """Compile one profile. What the SDK refuses is taken out, until the rest compiles."""
    mistakes: list[Found] = []
    while config:
        try:
            with warnings.catch_warnings(record=True, action="always") as raised:
                written = json.dumps(config)
                parsed = types.LiveConnectConfig.model_validate_json(written)
                body = _request_body(api_version, model, parsed)
        except pydantic.ValidationError as error:
            deep = any(each["type"] == "json_invalid" for each in error.errors())
            refused = [(tuple(map(str, each["loc"])), each["msg"]) for each in error.errors()]
            return {}, mistakes + ([((), "is nested too deeply")] if deep else refused)
        except ValueError as error:
            match = _VERTEX_ONLY.match(str(error))
            named = (path for path, _ in nodes(config) if match and path[-1:] == (match[1],))
            path = min(named, key=len, default=None)
            if path is None:
                return {}, [*mistakes, ((), str(error))]
            mistakes.append((path, "exists only on Vertex AI, which has no ephemeral tokens"))
            config = _without(config, {path})
            continue
        mistakes += [
            ((), str(warning.message))
            for warning in raised
            if not issubclass(warning.category, (ExperimentalWarning, DeprecationWarning))
        ]
        return body, mistakes + [(path, "google-genai drops it") for path in _dropped(parsed, body)]
    return {}, mistakes


def _setup(api_version: str, model: str, config: Mapping[str, Any]) -> Body:
    """Return the setup of a config of which google-genai refuses nothing."""
    with warnings.catch_warnings(action="ignore"):  # those of the policy are known by now
        parsed = types.LiveConnectConfig.model_validate_json(json.dumps(config))
        return cast(Body, _request_body(api_version, model, parsed)[SETUP])


def _request_body(api_version: str, model: str, config: types.LiveConnectConfig) -> Body:
    """Let google-genai write the request, and return it instead of sending it."""
    client, kept = _recorder(api_version)
    constraints = types.LiveConnectConstraints(model=model, config=config)
    client.auth_tokens.create(
        config=types.CreateAuthTokenConfig(uses=1, live_connect_constraints=constraints)
    )
    return cast(Body, json.loads(kept.pop()))


@cache
def _recorder(api_version: str) -> tuple[genai.Client, list[bytes]]:
    """Return a client that sends nothing, and the list of requests that it keeps.

    All profiles share it, because making a client costs ten times as much as a request.
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
    """Yield the paths whose values are missing in the body, as a net under all other checks."""
    setup = {name: value for name, value in body[SETUP].items() if name != "model"}
    wire = Counter(value for _, value in _leaves(setup))
    for path, value in _leaves(config.model_dump(exclude_none=True)):
        if not wire[value]:
            yield path
        wire[value] -= 1


def _leaves(value: Any) -> Iterator[tuple[Path, str]]:
    """Yield every scalar and every empty table or list as JSON, with its path."""
    for path, each in nodes(value):
        if not isinstance(each, dict | list) or not each:
            yield path, json.dumps(each, default=_scalar)


def _scalar(value: Any) -> str:
    """Return a value that JSON has no type for as google-genai writes it."""
    if isinstance(value, bytes):
        return base64.urlsafe_b64encode(value).decode()
    return str(value.isoformat())


def _without(value: Any, paths: Collection[Path], at: Path = ()) -> Any:
    """Return a copy of a value without what is at some paths."""
    if isinstance(value, list):
        return [_without(each, paths, (*at, str(index))) for index, each in enumerate(value)]
    if not isinstance(value, dict):
        return value
    inner = {key: each for key, each in value.items() if (*at, key) not in paths}
    left = {key: _without(each, paths, (*at, key)) for key, each in inner.items()}
    return {key: each for key, each in left.items() if each or not inner[key]}  # none left empty


@contextmanager
def _without_variables() -> Iterator[None]:
    """Hide the variables that the SDK reads: project, version, key, mode, proxies, authorities."""
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
