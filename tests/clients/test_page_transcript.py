"""The page's transcript: a line for each turn of a speaker, in whatever order its pieces come."""

import re
from typing import Any, TypeAlias

import pytest
from playwright.sync_api import expect
from stack import Stack
from visitor import Visitor

Step: TypeAlias = dict[str, Any] | list[str] | int
"""A message of Gemini, a call of transcript.js, or milliseconds that pass."""

PLAY = """
async (steps) => {
  const transcript = await import("/transcript.js");
  const { now } = Date;
  let passed = 0;
  Date.now = () => now() + passed;
  transcript.empty();
  for (const step of steps) {
    if (typeof step === "number") passed += step;
    else if (Array.isArray(step)) transcript[step[0]](...step.slice(1));
    else transcript.take(step);
  }
  Date.now = now;
  return [...document.querySelectorAll("#transcript p")].map((line) => line.textContent);
}
"""


def content(**fields: Any) -> dict[str, Any]:
    return {"serverContent": fields}


def you(words: str) -> dict[str, Any]:
    return content(inputTranscription={"text": words})


def gemini(words: str, *, sound: bool = True) -> dict[str, Any]:
    said: dict[str, Any] = {"outputTranscription": {"text": words}}
    return content(**said, **({"modelTurn": {"parts": []}} if sound else {}))


GENERATED = content(generationComplete=True)
COMPLETE = content(turnComplete=True)
THINKS = content(turnComplete=True, interactionStatus="IN_PROGRESS")
INTERRUPTED = content(interrupted=True)
HANDLE = {"sessionResumptionUpdate": {"newHandle": "h", "resumable": True}}
OVER = [GENERATED, COMPLETE, HANDLE]
SPOKE: list[Step] = [["spoke"], 400]
"""The user speaks for a moment."""
FIRST: list[Step] = [you("Good "), you("day."), gemini("Hello."), *OVER]
LINES = ["You: Good day.", "Gemini: Hello."]
CUT = "You interrupted."

ORDERS: dict[str, tuple[list[Step], list[str]]] = {
    "words before the answer": (FIRST, LINES),
    "words after the answer has begun": (
        [gemini("Hel"), you("Good "), gemini("lo."), you("day."), *OVER],
        LINES,
    ),
    "words after the end of the turn": (
        [gemini("Hello."), you("Good "), GENERATED, COMPLETE, you("day."), HANDLE],
        LINES,
    ),
    "all words after the end of the turn": (
        [["spoke"], gemini("Hello."), *OVER, 500, you("Good "), you("day.")],
        LINES,
    ),
    "an answer's words after the end of the turn": (
        [you("Good day."), gemini("Hel"), *OVER, gemini("lo.", sound=False)],
        LINES,
    ),
    "the words of the next turn soon after": (
        [*FIRST, *SPOKE, you("And "), gemini("Yes."), you("you?"), *OVER],
        [*LINES, "You: And you?", "Gemini: Yes."],
    ),
    "the quiet words of the next turn": (
        [*FIRST, 3000, you("And you?"), gemini("Yes."), *OVER],
        [*LINES, "You: And you?", "Gemini: Yes."],
    ),
    "turnComplete comes early": (
        [gemini("Hel"), COMPLETE, you("Good day."), gemini("lo."), GENERATED, HANDLE],
        LINES,
    ),
    "after an early turnComplete": (
        [
            you("Good day."),
            gemini("Hel"),
            COMPLETE,
            gemini("lo."),
            GENERATED,
            gemini("Yes."),
            *OVER,
        ],
        [*LINES, "Gemini: Yes."],
    ),
    "turnComplete is missing": (
        [
            you("Good day."),
            gemini("Hello."),
            GENERATED,
            HANDLE,
            3000,
            you("And you?"),
            gemini("Yes."),
        ],
        [*LINES, "You: And you?", "Gemini: Yes."],
    ),
    "turnComplete and handle are missing": (
        [you("Good day."), gemini("Hello."), GENERATED, ["wrote", "And you?"], gemini("Yes.")],
        [*LINES, "You: And you?", "Gemini: Yes."],
    ),
    "an empty turn": (
        [*FIRST, ["wrote", "Hm"], COMPLETE, ["wrote", "And you?"], gemini("Yes."), *OVER],
        [*LINES, "You: Hm", "You: And you?", "Gemini: Yes."],
    ),
    "an interruption by voice": (
        [
            gemini("Hel"),
            you("Good day."),
            *SPOKE,
            INTERRUPTED,
            COMPLETE,
            gemini("Yes."),
            you("And?"),
        ],
        ["You: Good day.", "Gemini: Hel", CUT, "You: And?", "Gemini: Yes."],
    ),
    "an interruption whose words come first": (
        [
            you("Good day."),
            gemini("Hel"),
            *SPOKE,
            INTERRUPTED,
            COMPLETE,
            you("And?"),
            gemini("Yes."),
        ],
        ["You: Good day.", "Gemini: Hel", CUT, "You: And?", "Gemini: Yes."],
    ),
    "an interruption in writing": (
        [
            gemini("Hel"),
            ["wrote", "And?"],
            you("Good day."),
            gemini("lo"),
            INTERRUPTED,
            COMPLETE,
            gemini("Yes."),
            *OVER,
        ],
        ["You: Good day.", "Gemini: Hello", CUT, "You: And?", "Gemini: Yes."],
    ),
    "the late words of a turn that was interrupted in writing": (
        [gemini("Hel"), ["wrote", "And?"], INTERRUPTED, COMPLETE, you("Good day."), gemini("Yes.")],
        ["You: Good day.", "Gemini: Hel", CUT, "You: And?", "Gemini: Yes."],
    ),
    "two texts before an answer": (
        [["wrote", "Good"], ["wrote", "day."], gemini("Hello."), *OVER],
        LINES,
    ),
    "speech after a text": (
        [["wrote", "Good"], ["spoke"], gemini("Hel"), you("day."), gemini("lo."), *OVER],
        LINES,
    ),
    "a model that thinks on": (
        [
            you("Good day."),
            gemini("Hel"),
            THINKS,
            gemini("lo."),
            GENERATED,
            content(turnComplete=True, interactionStatus="IDLE"),
        ],
        LINES,
    ),
    "a connection that was lost": (
        [
            ["wrote", "Good day."],
            gemini("Hel"),
            ["lose"],
            ["note", "Resumed."],
            gemini("Hello."),
            *OVER,
        ],
        ["You: Good day.", "Gemini: Hel", "Resumed.", "Gemini: Hello."],
    ),
    "speech that is answered again": (
        [
            ["spoke"],
            gemini("Hel"),
            ["lose"],
            ["note", "Resumed."],
            gemini("Hello."),
            you("Good day."),
        ],
        ["Gemini: Hel", "Resumed.", "You: Good day.", "Gemini: Hello."],
    ),
    "a text without a connection": (
        [*FIRST, ["wrote", "And?"], ["lose"], ["note", "Resumed."], gemini("Yes."), *OVER],
        [*LINES, "You: And?", "Resumed.", "Gemini: Yes."],
    ),
    "late words while the user begins to speak": (
        [gemini("Hello."), you("Good "), *OVER, ["spoke"], 100, you("day.")],
        LINES,
    ),
    "late words after a noise during the answer": (
        [gemini("Hel"), *SPOKE, gemini("lo."), *OVER, you("Good day.")],
        LINES,
    ),
    "an interruption without words": (
        [gemini("Hel"), INTERRUPTED, COMPLETE, gemini("Yes.")],
        ["Gemini: Hel", CUT, "Gemini: Yes."],
    ),
    "words soon after a connection was lost": (
        [*FIRST, ["lose"], ["note", "Resumed."], you("And?"), gemini("Yes.")],
        [*LINES, "Resumed.", "You: And?", "Gemini: Yes."],
    ),
    "a text while the model thinks on": (
        [
            gemini("Hel"),
            THINKS,
            ["wrote", "And?"],
            gemini("lo"),
            INTERRUPTED,
            COMPLETE,
            gemini("Yes."),
        ],
        ["Gemini: Hello", CUT, "You: And?", "Gemini: Yes."],
    ),
    "several fields in one frame": (
        [
            content(
                modelTurn={"parts": []},
                inputTranscription={"text": "Good day."},
                outputTranscription={"text": "Hello."},
                generationComplete=True,
                turnComplete=True,
            )
        ],
        LINES,
    ),
}


@pytest.mark.parametrize("order", ORDERS)
def test_turns_read_in_order(at_the_page: Visitor, order: str) -> None:
    steps, lines = ORDERS[order]
    assert at_the_page.page.evaluate(PLAY, steps) == lines


def test_spoken_turns_read_in_order(visitor: Visitor, alone: Stack) -> None:
    """The stand-in sends the user's words late, and in the third turn after its end."""
    alone.gemini.behaviour.silence = 0.3
    visitor.talks()
    said = r"\(\d\.\d seconds of speech\)"
    turns = [rf"You: {said}Gemini: I heard: {said} \(turn {turn}\)" for turn in (1, 2, 3)]
    log = visitor.page.get_by_role("log")
    expect(log).to_have_text(re.compile("^" + "".join(turns)), timeout=30_000)
