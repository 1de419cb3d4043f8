"""The words that Playhead's code and documents no longer use, and those that stand for them."""

from __future__ import annotations

import re
from typing import Final

#: Names of modules, classes, functions and constants that were renamed; whole identifiers.
RETIRED_NAMES: Final = frozenset(
    """
    Rooms Workbench open_rooms open_workbench Lane Errand on_errand current_errand ATTENDED Wire
    MeteredWire PatientWire Hands Together Untold tell_untold Taker Teller Told Catalogue Ledger
    Attendance Doorbell Forgetting Deferred Pace Breakers Doubted Intake Arrival Standing
    ReplyNotBelieved InvalidResult AnswerAwaited ProviderStopped BudgetSpent NotAProvider
    RequestRefused StorageRefused NotMadeYet OutsideRecording BadQuestion BadCorrection Unforeseen
    Minutes Hearer Inquiry Likeness Dictation Ladder Prompter NotAsAsked Mayhem Keeper KeptPieces
    GateClosed OfSize StillSeen MOST LEAST LONGEST
    """.split()
)

#: Words and phrases that no code, help text or document uses, as regular expressions.
RETIRED_WORDS: Final = (
    r"\berrands?\b",
    r"\blaid aside\b",
    r"\blay aside\b",
    r"\blet go of\b",
    r"\bwhoever\b",
    r"\bnot believed\b",
    r"\bthe dearest\b",
    r"\bhow-manieth\b",
    r"\breckoned\b",
    r"\bonlookers?\b",
    r"\bdoorbell\b",
    r"\btongues?\b",
    r"\buntold\b",
    r"\bthe face\b",
    r"\bfor ever\b",
    r"\binsist_on_\w+",
    r"\b_?(?!most_common\b)(?:MOST|LEAST|LONGEST|SHORTEST|FEWEST)_[A-Z_]+\b",
    r"\bPATIENCE_SECONDS\b",
    r"\b_LOOK_SECONDS\b",
    r"\bNot here:",
)
RETIRED: Final = re.compile("|".join(RETIRED_WORDS), re.IGNORECASE)


def retired_in(text: str) -> list[str]:
    """Return every retired word or name in ``text``, in order."""
    words = [match.group() for match in RETIRED.finditer(text)]
    return words + [name for name in re.findall(r"\b[A-Za-z_]+\b", text) if name in RETIRED_NAMES]
