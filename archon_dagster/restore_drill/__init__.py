"""Restore drills: a backup is restored into throw-away servers, compared, timed, and the servers are removed.

::

    drill       the order, top to bottom
    bench       the one place in a home where a drill is at work; what killed drills have left
    servers     the throw-away servers, as the runtime has them
    choosing    which stores are tried
    judging     whether what went wrong speaks against the backup, or only against the drill
    room        whether there is space for it
    result      what came of it
    record      the result beside the backup, and the last one there was
    summary     the result as a page
"""
