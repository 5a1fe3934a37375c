"""The sandbox's vector database: Qdrant's REST API over Qdrant's own storage engine.

Run as ``python -m archon_dagster.sandbox.vectors``. The engine (``qdrant-edge-py``) gives real segments, indexes and
write-ahead logs; this package adds what the server around them does: collections, aliases, snapshots in the server's
layout, and its way of failing. What it must answer was recorded from a real 1.18.3 server.
"""
