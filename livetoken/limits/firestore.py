"""Counts in a Firestore database, which all instances share.

**One commit.** A use reads its documents (the caller's, and one of each total), decides, and writes
them in one commit. Firestore applies it only if none of them has changed since, so that the counts
are exact. If one has changed, the use is decided again.

**Batches.** The uses of one instance that need the same document wait for each other and go into
one commit. Only uses of different instances can conflict.

**Shards.** `shards` says which totals are split. A caller keeps to one shard of each, and tries the
others if it is full. A resumed session that moves to another shard counts in both until its tokens
of the first one end. To find that all shards are full, every shard is read; an instance remembers
it for a second, so that refused requests cost little.
"""

import asyncio
import hashlib
from collections import Counter, deque
from contextlib import suppress
from dataclasses import dataclass, replace
from random import SystemRandom
from typing import TypeAlias

from livetoken.limits import shards
from livetoken.limits.count import (
    Ask,
    Books,
    Counted,
    Full,
    Granted,
    Kind,
    add,
    decide,
    nearly_full,
    take_out,
)
from livetoken.limits.documents import NONE, TIMEOUT, Changed, Document, Documents, Found
from livetoken.limits.sessions import Own
from livetoken.limits.storage import Unavailable

MOST_AT_A_TIME = 20
"""Uses in one commit."""

FIRST_PAUSE, LONGEST_PAUSE = 0.01, 0.2
"""Seconds before uses are decided again, at most: each pause is random, and each limit twice the
one before."""

REMEMBERED = 1.0
"""Seconds for which an instance remembers that all shards of a total are full, at most."""

MOST_REMEMBERED = 1000
"""Answers that an instance remembers at a time."""

_RANDOM = SystemRandom()
_Places: TypeAlias = tuple[int, ...]  # the shard of each book of an ask; 0 if it is not split


@dataclass(frozen=True)
class Placed(Granted):
    """A token that is counted in other shards than the first."""

    places: _Places


@dataclass(eq=False)
class _Use:
    """A token to reserve, or to give back if it was granted, and the answer to come."""

    ask: Ask
    granted: Granted | None
    answer: asyncio.Future[Counted | Full | None]

    @property
    def places(self) -> _Places:
        """Where it probably counts, or did count."""
        return _home(self.ask) if self.granted is None else _places(self.ask, self.granted)


class InFirestore:
    """Counts in documents. This connects to nothing."""

    def __init__(self, documents: Documents) -> None:
        self._documents = documents
        self._waiting: dict[str, deque[_Use]] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._full: dict[tuple[str, ...], tuple[Full, float]] = {}

    async def reserve(self, ask: Ask) -> Counted | Full:
        if full := self._remembered(ask):
            return full
        counted = await self._use(ask, None)
        if counted is None:
            raise TypeError("a reservation has an answer")
        if isinstance(counted, Full):
            self._remember(ask, counted)
        return counted

    async def look(self, ask: Ask) -> Full | None:
        if full := self._remembered(ask):
            return full
        _, decided = await _View(self._documents).decide(ask)
        if isinstance(decided, Granted):
            return None
        self._remember(ask, decided)
        return decided

    async def give_back(self, ask: Ask, granted: Granted) -> None:
        await self._use(ask, granted)
        self._full.clear()

    async def warm(self) -> None:
        await self._documents.read([self._documents.name("warm", 0)])

    def _remembered(self, ask: Ask) -> Full | None:
        """Return the total that was full for such an ask a moment ago."""
        now = asyncio.get_running_loop().time()
        for index in range(1, len(ask.keys)):
            full, until = self._full.get(_question(ask, index), (None, 0))
            if full and now < until:
                return replace(full, book=index)
        return None

    def _remember(self, ask: Ask, full: Full) -> None:
        if _shards(ask, full.book) > 1:
            if len(self._full) >= MOST_REMEMBERED:
                self._full.clear()
            until = asyncio.get_running_loop().time() + min(REMEMBERED, full.wait / 1000)
            self._full[_question(ask, full.book)] = full, until

    async def _use(self, ask: Ask, granted: Granted | None) -> Counted | Full | None:
        use = _Use(ask, granted, asyncio.get_running_loop().create_future())
        totals = reversed(range(1, len(ask.keys)))
        index = min(totals, key=lambda each: _shards(ask, each), default=0)  # the most contended
        shared = self._documents.name(ask.keys[index], use.places[index])
        if shared in self._waiting:
            self._waiting[shared].append(use)
        else:
            self._waiting[shared] = deque([use])
            task = asyncio.create_task(self._work(shared))
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        return await use.answer

    async def _work(self, shared: str) -> None:
        """Answer the uses that wait for a document. Skip those whose callers have given up."""
        waiting, pause = self._waiting[shared], FIRST_PAUSE
        while waiting:
            taken = [waiting.popleft() for _ in range(min(MOST_AT_A_TIME, len(waiting)))]
            uses = [use for use in taken if not use.answer.done()]
            try:
                async with asyncio.timeout(TIMEOUT):
                    answers = await self._commit(uses)
            except Changed:
                waiting.extendleft(reversed(uses))
                await asyncio.sleep(_RANDOM.uniform(0, pause))
                pause = min(2 * pause, LONGEST_PAUSE)
                continue
            except Exception as error:  # every use must get an answer, or it would wait for ever
                failure = Unavailable() if isinstance(error, TimeoutError) else error
                for use in uses:
                    if not use.answer.done():
                        use.answer.set_exception(failure)
                continue
            pause = FIRST_PAUSE
            for use, answer in zip(uses, answers, strict=True):
                if not use.answer.done():
                    use.answer.set_result(answer)
        del self._waiting[shared]

    async def _commit(self, uses: list[_Use]) -> list[Counted | Full | None]:
        """Decide uses one after another, and write what they change at once.

        Raises:
            Changed: a document has changed, so nothing is written.
            Unavailable: whether it is written is unknown.
        """
        view = _View(self._documents)
        await view.open(*((use.ask, use.places) for use in uses))
        answers = [await view.apply(use) for use in uses]
        if view.changed:
            await self._documents.commit(each.write(view.now) for each in view.changed)
        for index, (use, answer) in enumerate(zip(uses, answers, strict=True)):
            if isinstance(answer, Counted) and answer.alerts:
                alerts = await self._reached(use.ask, answer)
                answers[index] = replace(answer, alerts=alerts)
        return answers

    async def _reached(self, ask: Ask, counted: Counted) -> frozenset[tuple[int, Kind]]:
        """Return the alerts without those of a shard while other shards are not nearly full."""
        alerts, places = counted.alerts, _places(ask, counted.granted)
        with suppress(Unavailable):
            for index in {index for index, _ in alerts if _shards(ask, index) > 1}:
                view = _View(self._documents)
                await view.open((ask, places))
                for each in await view.open_shards(ask, places, index):
                    full = nearly_full(_parts(ask, each), await view.books(ask, each))
                    alerts = frozenset(one for one in alerts if one[0] != index or one in full)
        return alerts


class _View:
    """The documents that some uses need, as they were read and as the uses change them."""

    def __init__(self, documents: Documents) -> None:
        self.now = 0
        self.changed: list[Document] = []
        self._documents = documents
        self._found: dict[str, Found] = {}
        self._open: dict[str, Document] = {}

    async def open(self, *uses: tuple[Ask, _Places]) -> None:
        """Read the documents of uses, but none twice."""
        wanted = {
            self._documents.name(ask.keys[index], place)
            for ask, places in uses
            for index, place in enumerate(places)
            if ask.bounds[index]
        }
        if names := wanted - self._found.keys():
            found, now = await self._documents.read([*names])
            self._found |= found
            self.now = max(self.now, now)

    async def open_shards(self, ask: Ask, places: _Places, index: int) -> list[_Places]:
        """Read every shard of a total, each in a separate request. Return the places."""
        several = [
            (*places[:index], shard, *places[index + 1 :]) for shard in range(_shards(ask, index))
        ]
        await asyncio.gather(*(self.open((ask, each)) for each in several))
        return several

    async def books(self, ask: Ask, places: _Places) -> Books:
        """Return the books of an ask in certain shards."""
        documents = await self._of(ask, places)
        own, *totals = (each.sessions for each in documents)
        # By their places, the first is an Own and the others are All, which mypy cannot know.
        return Books([each.book for each in documents], (own, *totals))  # type: ignore[arg-type]

    async def decide(self, ask: Ask) -> tuple[_Places, Granted | Full]:
        """Decide an ask by the first shards that have room, of those of its session or caller."""
        places = await self._first(ask)
        tried: Counter[int] = Counter()
        wait: dict[int, int] = {}
        while True:
            decided = decide(self.now, _parts(ask, places), await self.books(ask, places))
            if isinstance(decided, Granted):
                return places, decided
            full = decided.book
            wait[full] = min(decided.wait, wait.get(full, decided.wait))
            tried[full] += 1
            if tried[full] == _shards(ask, full):
                return places, replace(decided, wait=wait[full])
            several = await self.open_shards(ask, places, full)
            places = several[(places[full] + 1) % len(several)]

    async def apply(self, use: _Use) -> Counted | Full | None:
        """Decide a use and count it, or take out what it gives back."""
        ask = use.ask
        if use.granted is not None:
            books = await self.books(ask, use.places)
            take_out(self.now, use.granted, _parts(ask, use.places), books)
            await self._change(ask, use.places)
            return None
        places, decided = await self.decide(ask)
        if isinstance(decided, Full):
            return decided
        counted = add(decided, _parts(ask, places), await self.books(ask, places))
        own = await self._change(ask, places)
        if any(_shards(ask, index) > 1 for index in range(len(places))):
            own.shards[decided.session] = places
        placed = Placed(**vars(decided), places=places) if any(places) else decided
        return replace(counted, granted=placed)

    async def _first(self, ask: Ask) -> _Places:
        """Return the shards of the session that an ask joins, or those of the caller."""
        home = _home(ask)
        own, *_ = await self._of(ask, home)
        session = own.sessions.joined() if ask.resumes and isinstance(own.sessions, Own) else None
        places = home if session is None else own.shards.get(session, home)
        is_fit = len(places) == len(home)  # the policy may have changed since
        return tuple(
            place % _shards(ask, index) for index, place in enumerate(places if is_fit else home)
        )

    async def _change(self, ask: Ask, places: _Places) -> Document:
        """Mark the documents of an ask as changed. Return the caller's."""
        documents = await self._of(ask, places)
        self.changed += [each for each in documents if each.bounds and each not in self.changed]
        return documents[0]

    async def _of(self, ask: Ask, places: _Places) -> list[Document]:
        await self.open((ask, places))
        return [self._document(ask, places, index) for index in range(len(places))]

    def _document(self, ask: Ask, places: _Places, index: int) -> Document:
        bounds, is_total = _parts(ask, places).bounds[index], index > 0
        if not bounds:
            return Document.read("", NONE, bounds, is_total=is_total, now=self.now)
        name = self._documents.name(ask.keys[index], places[index])
        if name not in self._open:
            found = self._found[name]
            read = Document.read(name, found, bounds, is_total=is_total, now=self.now)
            self._open[name] = read
        return self._open[name]


def _shards(ask: Ask, index: int) -> int:
    """Return the number of shards of a book. The caller's is not split."""
    return shards.count(ask.bounds[index]) if index else 1


def _question(ask: Ask, index: int) -> tuple[str, ...]:
    """Return what decides if a total is full for an ask. A resumed ask depends on its caller."""
    return (ask.keys[index], str(ask.least), ask.keys[0] if ask.resumes else "")


def _home(ask: Ask) -> _Places:
    """Return the shards that a caller keeps to."""
    number = int.from_bytes(hashlib.sha256(ask.keys[0].encode()).digest()[:4])
    return tuple(number % _shards(ask, index) for index in range(len(ask.keys)))


def _places(ask: Ask, granted: Granted) -> _Places:
    """Return the shards in which a token counts."""
    return granted.places if isinstance(granted, Placed) else (0,) * len(ask.keys)


def _parts(ask: Ask, places: _Places) -> Ask:
    """Return an ask with the parts of the bounds that certain shards have."""
    own, *totals = ask.bounds
    parts = (shards.part(each, place) for each, place in zip(totals, places[1:], strict=True))
    return replace(ask, bounds=(own, *parts))
