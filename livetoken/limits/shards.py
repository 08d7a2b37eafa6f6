"""How a total is split, so that the documents that count it are not written too often.

A document of Firestore should be written about once a second. A total that allows more tokens than
that is split into shards. Each has its part of every amount, and the parts add up to the amounts.
"""

import math
from dataclasses import replace

from livetoken.policy import Bounds, Limit

PEAK = 5
"""How many times the mean rate is expected at the busiest time, in tokens a second and shard."""

SLICE = 300
"""Seconds that a token is assumed to last, to estimate the rate of a budget and of sessions."""

LEAST_PART = 20
"""Tokens or sessions that each shard must have."""

MOST_SHARDS = 16
"""Shards of a total. A token that finds no room reads all of them."""

MOST_SESSIONS = 2000
"""Sessions of one shard, which are read with every use. More shards are made if there are more."""


def count(bounds: Bounds) -> int:
    """Return the number of shards of a total: 1, unless it allows many tokens a second."""
    tokens: list[tuple[float, int]] = [(each.amount, each.seconds) for each in bounds.limits]
    tokens += [(each.amount / SLICE, each.seconds) for each in bounds.budgets]
    if bounds.at_once is not None:
        tokens.append((bounds.at_once, SLICE))
    by_rate = math.ceil(PEAK * min(amount / seconds for amount, seconds in tokens))
    by_part = int(min(amount for amount, _ in tokens) / LEAST_PART)
    by_size = math.ceil((bounds.at_once or 0) / MOST_SESSIONS)
    return max(1, by_size, min(by_rate, by_part, MOST_SHARDS))


def part(bounds: Bounds, shard: int) -> Bounds:
    """Return the part of a total that one of its shards has."""
    shards = count(bounds)
    if shards == 1:
        return bounds

    def of(amount: int) -> int:
        return amount // shards + (shard < amount % shards)

    limits, budgets = (
        tuple(Limit(of(each.amount), each.seconds) for each in limits)
        for limits in (bounds.limits, bounds.budgets)
    )
    at_once = None if bounds.at_once is None else of(bounds.at_once)
    return replace(bounds, limits=limits, budgets=budgets, at_once=at_once)
