"""What of a server's collections is ours, by name."""

from __future__ import annotations

import pytest

from archon_dagster.stores.vectors.leftovers import is_trial, trial_name

MAKES_FILES_OF = len("col-") + len("-recovery-XXXXXXXX")  # what the server adds to a collection's name


@pytest.mark.parametrize("name", ["archon_vectors", "a", "ä" * 255, "☃" * 80, "two\nlines"])
def test_a_trial_is_recognised_and_its_name_fits_into_a_file_name(name: str) -> None:
    assert is_trial(trial_name(name))
    assert len(trial_name(name).encode()) + MAKES_FILES_OF <= 255


@pytest.mark.parametrize("name", [
    "archon_vectors", "my__archon_trial_notes", "a__archon_trial_0123abcd_kept", "a__archon_trial_0123ABCD",
    "a__archon_trial_0123abc", "a__archon_trial_0123abcde", "__archon_trial_0123abcd", "a__archon_trial_0123abcd\n",
])  # fmt: skip
def test_a_users_collection_is_never_taken_for_a_trial(name: str) -> None:
    assert not is_trial(name)
