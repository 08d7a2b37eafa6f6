"""What a conversation promised and did not keep, from the log of `simulated.Network`.

- What the user or the app said is answered, or said to be lost.
- What was answered is not answered again, unless the app was told of a loss in between or the
  answer had not ended.
- The response to a void call is not sent.
- No minute has more than six tokens. Each token after the first has a cause: a connection that was
  lost, ended, refused or about to end, a token that was about to expire or did not arrive.
- The conversation ends when the app ends it, and not before.
"""

from __future__ import annotations

import re
from collections import Counter
from dataclasses import dataclass, field
from itertools import pairwise

from virtual_time import Entry

TURN = re.compile(r"I heard: (.*?) \(turn \d+\)")
NAME = re.compile(r"question-\d+|response-\d+|\d+\.\d(?= seconds of speech)")
A_MINUTE = 6
BEFORE_EXPIRY = 70  # seconds before its end at which a token may be renewed, at the most
BEGINS_AFTER = 1.0  # seconds from a question to its answer, at least
SHORTEST = 100.0  # ms of speech that Gemini hears
IN_FLIGHT = 1_000.0  # ms in which the end of an answer may cross a question
OWED_FOR = 15_000.0  # ms in which Gemini should answer
CAUSES = ("leave", "cut", "ended", "unseen")
LEFT = ("timers", "sockets", "listenings")
NO_ANSWER = ("unanswered", "deaf")
"""What can make the client leave a resumed session, because it has not answered."""


@dataclass
class Said:
    """Something that the user or the app said."""

    name: str
    at: float
    speech: float
    """Milliseconds, without what was said to be lost; 0 for a text."""
    call: str | None
    """The call that it responds to."""
    answered: list[float] = field(default_factory=list)
    """When a transcript said so."""
    is_settled: bool = False
    """Whether its answer was something else, or was interrupted."""
    is_unheard: bool = False
    """Whether Gemini did not answer it, but what was asked soon after it."""
    lost_at: float | None = None

    @property
    def is_open(self) -> bool:
        is_answered = bool(self.answered) or self.is_settled or self.is_unheard
        return not is_answered and self.lost_at is None


class Judge:
    """Reads a log; times in it are in milliseconds.

    Args:
        to_the_end: everything had the time to be answered.
        expires_in: seconds that a token lasts.
    """

    def __init__(
        self, log: list[Entry], *, to_the_end: bool = True, expires_in: int = 1800
    ) -> None:
        self._renewed_after = (expires_in - BEFORE_EXPIRY) * 1000
        self.counts: Counter[str] = Counter()
        self.failures: list[str] = []
        self._said: list[Said] = []
        self._losses: list[float] = []
        self._ends: list[float] = []
        self._tokens: list[float] = []
        self._causes: list[float] = []
        self._calls: dict[str, bool] = {}
        """The calls that are not void, and whether a handle knows them."""
        self._text = ""
        """The transcript of the current answer."""
        self._asked: list[Said] | None = None
        """What the current answer is to, at least; None between answers."""
        self._has_called = False
        self._responses: list[Said] = []
        """Those after which the answer that called went on."""
        self._resumes = False
        self._is_over = False
        self._opened = 0.0
        self._unheard: list[float] = []
        """When Gemini did not answer, although the connection was open."""
        for entry in log:
            self._read(entry)
        for said in self._said:
            self._check(said, to_the_end)
        self._check_tokens()
        self.failures.sort(key=lambda failure: float(failure.split(":")[0]))

    def _fail(self, at: float, what: str) -> None:
        self.failures.append(f"{at / 1_000:.2f}: {what}")

    def _read(self, entry: Entry) -> None:
        at, kind = entry["at"], entry["kind"]
        self.counts[kind] += 1
        if kind in CAUSES or entry.get("of") in NO_ANSWER:
            self._causes.append(at)
        if entry.get("of") in ("unanswered", "heard"):
            self._unheard.append(at)
        match kind:
            case "said":
                self._say(entry)
            case "told":
                self._begin(at)
                self._hear(at, entry["text"])
            case "call":
                self._begin(at)
                self._calls[entry["id"]] = False
                self._has_called = True
            case "cancelled":
                self._forget_calls(entry["ids"], at)
            case "over" if not entry["thinks"]:
                self._end(at)
            case "handle":
                self._end(at)
                self._calls = dict.fromkeys(self._calls, True)
            case "interrupted":
                self._interrupt(at)
            case "lost":
                self._lose(entry)
            case "sent":
                self._check_responses(at, entry["message"])
            case "answer":
                self._token(entry)
            case "state" if entry["state"] == "open":
                self._open(at)
            case "hang up":
                self._is_over = True
            case "left over" if any(entry[kind] for kind in LEFT):
                self._fail(at, f"left over: {', '.join(f'{entry[kind]} {kind}' for kind in LEFT)}")
            case "state" if entry["state"] == "closed":
                if entry.get("reason") or not self._is_over:
                    self._fail(at, f"the conversation ended: {entry.get('reason')}")

    # --- what was said

    def _say(self, entry: Entry) -> None:
        call = entry.get("call")
        if call is None or call in self._calls:
            self._said.append(Said(entry["name"], entry["at"], entry.get("speech", 0), call))

    def _begin(self, at: float) -> None:
        if self._asked is None:
            latest = at - BEGINS_AFTER * 1_000
            self._asked = [
                one for one in self._said if one.is_open and one.at + one.speech < latest
            ]

    def _hear(self, at: float, text: str) -> None:
        if self._has_called:
            self._responses = [one for one in self._said if one.call and one.is_open]
        self._text += text
        while turn := TURN.search(self._text):
            self._text = self._text[turn.end() :]
            for name in NAME.findall(turn[1]):
                answered = self._one(name)
                answered.answered.append(at)
                self._settle_unheard(answered)

    def _end(self, at: float) -> None:
        self._ends.append(at)
        if self._has_called:
            self._settle()  # perhaps in deed alone
        for response in self._responses:
            response.is_settled = True
        self._asked, self._has_called, self._responses = None, False, []

    def _interrupt(self, at: float) -> None:
        """The user did not wait for the whole answer."""
        self._settle()
        self._text = ""

    def _settle(self) -> None:
        for said in self._asked or []:
            said.is_settled = True

    def _settle_unheard(self, answered: Said) -> None:
        """What Gemini did not answer seems to be answered with what was asked soon after it."""
        after = max(answered.at, self._opened)
        for said in reversed([one for one in self._said if one.at < answered.at]):
            sent = max(said.at, self._opened)  # again, if it was said before
            if after - sent - said.speech >= OWED_FOR:
                return
            after = sent
            said.is_unheard |= any(at >= sent for at in self._unheard)

    def _lose(self, entry: Entry) -> None:
        self._losses.append(entry["at"])
        self._forget_calls(entry["toolCalls"], entry["at"])
        for name in entry["messages"]:
            said = self._one(name)
            said.lost_at = entry["at"]
            ended = said.answered and any(end > said.answered[-1] for end in self._ends)
            if ended or said.is_settled:
                self._fail(entry["at"], f"{name} was said to be lost, and had been answered")
        audio = entry["audio"]
        for said in self._said:
            if said.speech and said.is_open:
                lost = min(audio, said.speech)
                audio -= lost
                said.speech -= lost
                said.lost_at = entry["at"] if said.speech < SHORTEST else None

    def _one(self, name: str) -> Said:
        """The last that was said with this name or length, or something that nobody misses."""
        nothing = Said(name, 0, 0, None)
        if "-" in name:
            return next((said for said in reversed(self._said) if said.name == name), nothing)
        length = float(name) * 1_000
        heard = [said for said in self._said[-30:] if abs(said.speech - length) < SHORTEST / 2]
        return next((said for said in heard if said.is_open), heard[-1] if heard else nothing)

    def _check(self, said: Said, to_the_end: bool) -> None:
        if said.is_open and to_the_end:
            self._fail(said.at, f"{said.name} was neither answered nor said to be lost")
        if said.lost_at is not None and any(at > said.lost_at for at in said.answered):
            after = said.lost_at - said.at - said.speech
            if IN_FLIGHT < after < OWED_FOR:
                self._fail(said.lost_at, f"{said.name} was said to be lost, and answered later")
        for first, second in pairwise(said.answered):
            is_told = any(first < loss <= second for loss in self._losses)
            if any(first <= end < second for end in self._ends) and not is_told:
                self._fail(second, f"{said.name} was answered again, and no loss was told")

    # --- calls

    def _forget_calls(self, ids: list[str], at: float) -> None:
        for said in self._said:
            if said.call in ids and said.is_open:
                said.lost_at = at
        self._calls = {call: known for call, known in self._calls.items() if call not in ids}

    def _check_responses(self, at: float, message: Entry) -> None:
        for response in message.get("toolResponse", {}).get("functionResponses", []):
            if response["id"] not in self._calls:
                self._fail(at, f"the response to {response['id']} was sent, which is void")

    # --- connections

    def _open(self, at: float) -> None:
        self._opened = at
        self._text, self._asked, self._has_called, self._responses = "", None, False, []
        known = {call: True for call, is_known in self._calls.items() if is_known}
        self._calls = known if self._resumes else {}

    def _token(self, entry: Entry) -> None:
        self.counts["seconds"] += entry["seconds"]
        self.counts["refused"] += not entry["minted"]
        if entry["minted"]:
            self._tokens.append(entry["at"])
            self._resumes = entry["resumes"]
            self.counts["tokens"] += 1

    def _check_tokens(self) -> None:
        tokens = self._tokens
        expiries = [
            second for first, second in pairwise(tokens) if second - first >= self._renewed_after
        ]
        causes = sorted(self._causes + expiries)
        for first, seventh in zip(tokens, tokens[A_MINUTE:], strict=False):
            if seventh - first < 60_000:
                self._fail(seventh, f"{A_MINUTE + 1} tokens in a minute")
        for start in tokens:
            hour = [at for at in tokens if start <= at < start + 3_600_000]
            why = [at for at in causes if start - 60_000 <= at <= hour[-1]]
            self.counts["tokens an hour"] = max(self.counts["tokens an hour"], len(hour))
            if len(hour) > 1 + len(why):
                self._fail(start, f"{len(hour)} tokens in an hour, for {len(why)} causes")
