"""The store names as an enumeration, for configuration that should offer them and refuse anything else."""

from enum import Enum

from archon_dagster.stores.base import STORES, StoreName


class StoreChoice(Enum):
    """Names equal values, because run configuration matches names."""

    vectors = "vectors"
    graph = "graph"
    relational = "relational"
    configuration = "configuration"


def chosen(choices: list[StoreChoice]) -> tuple[StoreName, ...]:
    """The chosen stores, in their usual order."""
    names = {choice.value for choice in choices}
    return tuple(name for name in STORES if name in names)


assert [choice.value for choice in StoreChoice] == list(STORES)
