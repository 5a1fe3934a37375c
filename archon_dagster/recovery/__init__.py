"""Recovery: from a confirmed failure to a platform that is well again, or to a person with a command to paste.

::

    looking      what the health monitor has confirmed, or fresh probes       -> findings.Findings
    classify     which kind of incident that is
    noting       the book: opened, continued, merged, closed                  -> incident.Incident, book.Book
    ladder       what to do next (data_loss: where data are proven lost)      -> decision.Decision
    recover      one step after the other, written down before it is done
    actions      what is done; evidence, files: what is kept before that
    automation   the switch
    report, alerting, by_hand, p0, site                                        what people see and ask for
"""
