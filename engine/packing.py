"""Which rows run together: padding is the enemy, so rows of similar length do, within a token budget."""

from collections.abc import Sequence


def plan_batch(lengths: Sequence[int], *, budget_tokens: int) -> list[int]:
    """Pick the rows that run next, as indices into `lengths`.

    lengths: tokens of the waiting rows, oldest first. The oldest always goes, even alone above the budget, so no
    row waits for ever; the others are those nearest to it in length, oldest first among equals. Rows in the batch
    times its longest row stays within the budget.
    """
    if not lengths:
        return []
    first = lengths[0]
    order = sorted(range(1, len(lengths)), key=lambda i: abs(lengths[i] - first))
    plan, longest = [0], first
    for i in order:
        longer = max(longest, lengths[i])
        if longer * (len(plan) + 1) > budget_tokens:
            break
        plan.append(i)
        longest = longer
    return plan
