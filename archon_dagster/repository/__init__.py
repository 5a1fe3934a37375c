"""The backup repository: content-addressed, deduplicating, append-only until pruned.

======================  ==========================================================================================
``repository``          ``Repository.open(url, create=False)``: the one object the rest of the program holds
``pending``             a backup while it is written; the ``Sink`` the stores export into; ``seal`` makes it exist
``reading``             the ``Source`` the stores restore from: every byte it hands out was checked
``catalogue``           listing, also of what unfinished backups have left
``selection``           which backup is meant: ``latest``, a date, an id or a prefix of one
``verification``        every chunk and every digest; check records
``check_state``         what the checks of a backup come to: passed, failed, not finished
``lock``, ``holder``    one platform lock: lease, heartbeat, fencing counter; who holds it
``export``              a backup as plain files; ``extract`` is its stand-alone twin kept inside every repository
``backends``            where objects live: the protocol and the local filesystem
``cutting``, ``chunks`` how artifacts become chunks, how chunks are stored
======================  ==========================================================================================

Layout, the same on every backend::

    config.json                       format version, repository id, chunker parameters, key slots
    chunks/ab/<sha-256>               a chunk, named after its plain bytes
    backups/<id>.incomplete           a backup being written, or what a killed one left
    backups/<id>.json                 the sealed manifest; it exists => the backup is complete
    verifications/<id>/<time>-<name>.json
    suspects/<sha-256>                a chunk found damaged; the next backup that still has its bytes writes it anew
    locks/platform.json               the lock's record
    cache/backups.json                summaries for fast listing; may be deleted at any time
    extract.py                        break-glass reader
"""
