"""Stand-ins for the platform's own services, and for Ollama and Supabase: a module for each.

They have the real JSON shapes and the real bad habits: HTTP 200 while degraded, empty results where something failed
inside. What they share is in :mod:`~archon_dagster.sandbox.services.serving` (a process that serves),
:mod:`~archon_dagster.sandbox.services.health` (the body of ``/health``),
:mod:`~archon_dagster.sandbox.services.neighbours` (asking one another, 5 s a hop) and
:mod:`~archon_dagster.sandbox.services.behaving` (misbehaving when told to).

Run one with ``python -m archon_dagster.sandbox.services archon-bridge --port N``.
"""
