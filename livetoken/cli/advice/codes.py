"""Every warning of `check`, with its reason."""

from enum import Enum
from typing import TypeAlias

from livetoken.compile.strict import Path


class Code(Enum):
    """Every warning. The member's name is its code, the value its reason."""

    MODEL_GONE = "Google has withdrawn this model: Gemini refuses every session with it."
    MODEL_LEGACY = "This model is legacy, or reported as withdrawn."
    MODEL_NOT_LIVE = "This does not look like a Live model. Gemini refuses sessions with others."
    MODEL_UNKNOWN = "This model is not known here, so what it refuses is not checked."
    TEXT_MODALITY = "Current models answer in audio only; use output_audio_transcription for text."
    NOT_SUPPORTED = "Google lists this as not supported by the model."
    VOICE_UNKNOWN = "This is not one of the prebuilt voices."
    NO_INSTRUCTION = "Without an instruction, callers can use the model for anything, on your key."
    INSTRUCTION_FILE = "This is the whole instruction: no file is read."
    OPEN_INSTRUCTION = "Callers can give the model any instruction, on your key."
    OPEN_TOOLS = "Callers can use Google's tools, such as search, on your key."
    SELF_CHOSEN_CLAIM = "People choose this claim themselves. Custom claims are set only by you."
    UNUSED_CLAIM = "The instruction does not name it, and yet it refuses callers it does not fit."
    NO_COMPRESSION = "Without it, a session with audio ends after 15 minutes, before the token."
    COMPRESSION_OFF = "Without sliding_window, nothing is compressed."
    TARGET_TOO_LARGE = "It should be less than trigger_tokens, which start the compression."
    NO_RESUMPTION = "Without it, a session ends with its connection, after about 10 minutes."
    SHORT_START = "A phone on a slow network may need longer to start a session."
    NO_LIMIT = 'A caller can get any number of tokens, on your key. Set one such as "30/hour".'
    LONG_SLICE = (
        "A token uses the budget and counts as a session until it ends, even if the user hangs up."
    )
    LIMIT_OF_NOBODY = (
        "Anybody can make anonymous accounts without App Check, each with a new limit."
    )
    IDLE_LIMIT = "A longer time allows no more tokens, so the shorter limit hardly applies."
    UNVERIFIED_EMAIL = "People can sign up with any address. Require email_verified = [true] too."
    CAPITALS = "Firebase writes addresses in lower case, and the value is compared as it is."
    VALUE_IS_PATTERN = "Values are compared as they are: there are no patterns."
    CLAIM_ELSEWHERE = "Firebase and Google have no such claim there, so it must be one of yours."
    NOBODY_PASSES = "This rule and the other rules together refuse every caller."
    ANONYMOUS_EXCLUDED = "The other rules refuse every anonymous account anyway."
    OPEN_PROFILE_TOO = "Callers of this profile may also use others, with their limits on top."
    TWO_DOORS = "A person with a Firebase and a Google account is two callers with two limits."
    REPLACES_DEFAULT = "It replaces the whole field of [defaults], not the parts that differ."
    TWO_PROJECTS = "These apps belong to more than one project, and App Check is for one."
    NAMED_DEFAULTS = "This is a profile that callers may ask for; others do not inherit from it."
    NO_DEFAULT = "There is no profile default: every request must name one."


Finding: TypeAlias = tuple[bool, Code, Path | str, str]
"""Whether it applies, its code, the path of its setting, and what to add to the reason.

The path is one in the merged policy, or text if it is already the one in the file.
"""
