"""The newest rows of one kind, found by the index that was made for them.

`WHERE kind = ? ORDER BY seq DESC LIMIT n` can also be answered by walking back over the primary key and passing over
all rows of other kinds. PostgreSQL does that where it thinks that one row in a few is of the kind: quick while such
rows are still coming, and millions of rows in vain once they no longer are, as for a version that is back in production
after a rollback. Asked for the order of the pair (kind, seq), with a kind that it does not know to be one and the same,
only the index serves. SQLite takes the index by itself, and bounds it by `seq` only if the kind is one and the same.
"""

from typing import Any, TypeVarTuple

from sqlalchemy import Select, tuple_
from sqlalchemy.orm import InstrumentedAttribute, Session

Ts = TypeVarTuple("Ts")


def newest_of(
    session: Session,
    query: Select[*Ts],
    kind: InstrumentedAttribute[Any],
    value: str | int,
    seq: InstrumentedAttribute[int],
    *,
    after_seq: int = 0,
) -> Select[*Ts]:
    """`query` for the rows whose `kind` is `value` and whose `seq` lies above `after_seq`, newest first.

    It needs an index that ends in `kind` and `seq`; what comes before these in the index must be equal to something in
    `query`.
    """
    if session.get_bind().dialect.name == "postgresql":
        bounded = query.where(tuple_(kind, seq) > (value, after_seq), kind <= value)
    else:
        bounded = query.where(kind == value, seq > after_seq)
    return bounded.order_by(kind.desc(), seq.desc())
