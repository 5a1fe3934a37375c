"""More or fewer processes of a service, and what each of them may use.

::

    scale        one replica at a time, each behind a health gate, and back on failure   -> Scaled
    profiles     the named profiles, and whether a host can carry one                    -> Profile
    room         what the other services have reserved of the host
    apply        a profile, service by service behind a health gate, and back on failure -> Applied
    load         how busy the service is: milliseconds of p95, or percent of a core
    autoscaling  how many replicas a load asks for: a pure decision                      -> Decision
    hindrances   why the automation must leave the number alone just now
    watch        one look of the autoscaler: load, decision, what is remembered          -> Look
"""
