"""Vectors: every collection of a Qdrant server, through its snapshot API.

A snapshot is the primary artifact because it is the only lossless one (a server returns Cosine vectors normalised).
It is checked three times: as a file (size, checksum, every tar member), by Qdrant's own engine without a server where
the engine can read it, and by a search with a known answer once it is restored.
"""
