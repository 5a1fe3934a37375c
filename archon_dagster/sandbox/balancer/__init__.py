"""A small balancer: shares the connections of one loopback port out among replicas.

::

    rotation   who gets the next connection: plain values
    checking   is a replica well                            one question over HTTP
    forwarding one connection, from a client to a replica
    proxy      all of it, steered by two files              ``python -m archon_dagster.sandbox.balancer``

Standard library only: it starts within a tenth of a second, and is small beside what it serves.
"""
