"""Where the objects of a repository live: one protocol (``base``), one module per kind of storage."""
