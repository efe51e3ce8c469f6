"""The one error family of driftgate.

DriftgateError
├── BadInput          what was sent cannot be used as it is
├── NotFound          a name or id that does not exist
├── Conflict          somebody was faster, or the state forbids it
├── Refused           we will not do this, and say why
├── Busy              come back later
├── DeadlinePassed    the answer would come too late
└── Broken            our own house is not in order

Nobody below the edge knows HTTP or exit codes; `server/problems.py` and `cli/output.py` translate each family once.
"""

from collections.abc import Iterable
from difflib import get_close_matches


class DriftgateError(Exception):
    """Base of all errors that are meant to be read by a person. `kind` is a stable machine-readable slug."""

    kind = "error"
    title = "Error"


class BadInput(DriftgateError):
    kind = "bad-input"
    title = "Bad input"

    def __init__(self, detail: str, *, where: str | None = None) -> None:
        super().__init__(detail)
        self.where = where
        """JSON pointer or field name of the offending value, if there is one."""


class Malformed(BadInput):
    """Not even readable: wrong JSON, wrong encoding."""

    kind = "malformed"
    title = "Malformed input"


class InputTooLong(BadInput):
    kind = "input-too-long"
    title = "Input too long"


class NotFound(DriftgateError):
    kind = "not-found"
    title = "Not found"


class Conflict(DriftgateError):
    kind = "conflict"
    title = "Conflict"


class Refused(DriftgateError):
    kind = "refused"
    title = "Refused"


class AdapterRefused(Refused):
    kind = "adapter-refused"
    title = "Adapter cannot be served"


class Busy(DriftgateError):
    kind = "busy"
    title = "Busy"

    def __init__(self, detail: str, *, retry_after_s: int = 1) -> None:
        super().__init__(detail)
        self.retry_after_s = retry_after_s


class DeadlinePassed(DriftgateError):
    kind = "deadline-passed"
    title = "Deadline passed"


class Broken(DriftgateError):
    kind = "broken"
    title = "Not in order"


class StoreUnavailable(Broken):
    kind = "store-unavailable"
    title = "Store unavailable"


class SchemaMismatch(Broken):
    kind = "schema-mismatch"
    title = "Store has another schema"


class ArtifactCorrupt(Broken):
    kind = "artifact-corrupt"
    title = "Artifact is damaged"


def unknown(what: str, name: str, known: Iterable[str], *, hint: str = "") -> NotFound:
    """A NotFound that names what was asked for and the nearest names that do exist."""
    names = sorted(known)
    near = get_close_matches(name[:200], names, n=3, cutoff=0.5)
    if near:
        tail = "did you mean " + " or ".join(repr(n) for n in near) + "?"
    elif names:
        shown = ", ".join(names[:8]) + (", ..." if len(names) > 8 else "")
        tail = f"known: {shown}"
    else:
        tail = "there is none yet"
    shown_name = name if len(name) <= 100 else name[:97] + "..."
    return NotFound(f"no {what} {shown_name!r}; {tail}{' ' + hint if hint else ''}")
