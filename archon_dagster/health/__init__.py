"""The health of the platform: looked at, confirmed, explained, and kept.

::

    sampling     one concurrent round: what each service says            -> samples.Sample
    background   the slower looks: end to end, counts, the model         -> knowledge.Knowledge
    evaluation   hysteresis and flapping, a pure state machine           -> evaluation.Change
    check_state  the same for each check                                 -> check_state.CheckState
    root_cause   who is to blame, who is only affected
    monitor      one tick of all of this, with quick confirmation        -> monitor.Tick
    windows      maintenance, planned and ad hoc
    history      response times, bounded
    reading      what others may ask

What others ask (recovery, alerts, the command line), without Dagster:

``confirmed(home)``
    the services confirmed not to be well now: state, since when, first seen, what is wrong (``problems``, and the
    collections or tables it is about), ``causes`` (none: a root cause) and ``affected``.
``standing(home)``
    the same with the time of the last tick, the state of every service, which single checks fail and who is left out.
    Look at ``at`` before acting: a monitor that does not run (``silent_after``) says nothing about now.
``changes(home, after=n)``
    confirmed changes in order, each with a rising ``sequence``: remember the last one you have handled. After a crash
    of the monitor one may be told twice, with the same ``first_seen`` or a later one.

Everything is in ``<home>/health/``: ``monitor.json`` (state), ``changes.jsonl`` (events), ``history.db`` (samples),
``maintenance.json`` (ad hoc windows). All of it may be deleted; the monitor then begins anew.
"""

from archon_dagster.health.reading import (
    Confirmed,
    FailingCheck,
    Standing,
    changes,
    confirmed,
    silent_after,
    standing,
)

__all__ = ["Confirmed", "FailingCheck", "Standing", "changes", "confirmed", "silent_after", "standing"]
