"""Portable vectors: every point of a collection as rows of a Parquet file that any data tool opens.

A snapshot is lossless and fast, and loads on the same or the next minor version of Qdrant only. The portable artifact
stands beside it and is slower to make and to restore: points go back by upserts, so it goes onto any server from 1.7
on. It never holds anything else than the snapshot beside it: it is made from that snapshot, or from the live server
and kept only where what was read is what the snapshot holds.

Columns: ``id`` (text: numbers reach beyond what a float or a JavaScript number can hold), ``id_kind`` (``number`` or
``uuid``), ``payload`` (JSON), and one for each vector: ``vector`` for the unnamed one, ``vector:<name>`` for the
others. The file's metadata, under ``archon``, is JSON: collection, configuration, payload indexes, aliases.
"""
