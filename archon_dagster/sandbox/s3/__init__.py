"""The sandbox's S3 server: ``moto``, as a process of its own on the loopback interface.

It is started when asked for, by :func:`archon_dagster.sandbox.s3.running.object_storage` or by hand with
``python -m archon_dagster.sandbox.s3``. What it holds is in its memory and gone with it, and it believes every
credential and every checksum: for demos and tests, never for backups.
"""
