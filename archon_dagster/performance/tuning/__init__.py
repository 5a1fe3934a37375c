"""Tuning that is applied, seen to hold, and can be undone.

::

    options   which settings exist, which values they take, what speaks against some; and what is refused, with why
    effect    what a collection is like: times, segments, index
    journal   what was changed, with what was there before
    writers   who else writes these settings: the services that undo tuning without a word
    planning  what would be changed, and what speaks against it
    qdrant    apply and undo
    drift     what has been undone since, and by whom
    docker    the Docker daemon's settings: a merged proposal in a file, and never more than that
"""
