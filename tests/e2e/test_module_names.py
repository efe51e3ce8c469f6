"""Our folders are top-level import names; nobody else's distribution may bring one of them."""

from importlib.metadata import packages_distributions

OURS = ("cli", "server", "monitor", "retrain", "engine", "store", "tests", "benchmarks")


def test_no_other_distribution_brings_a_module_of_our_names() -> None:
    owners = packages_distributions()
    others = {name: sorted(set(owners.get(name, [])) - {"driftgate"}) for name in OURS}
    assert {name: found for name, found in others.items() if found} == {}
