"""Weekly maintenance and security updates.

::

    step        what a step is, and what came of one
    journal     what of a run is done already, so that a killed one is gone on with
    weekly      the rules: backup first, and nothing that could harm after a failed one
    catalogue   the steps, in order
    vectors, database, graph, images, logs, disk, packages, others   what each of them does
    report      a run as a page, kept in the home
    updates     security updates: fetch, replace service by service, go back on failure
    retention   which backups may go, and letting them go
"""
