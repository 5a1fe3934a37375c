"""More or fewer processes of a service, and what each of them may use.

::

    autoscaling  how many replicas a load asks for: a pure decision        -> Decision
    hindrances   why the automation must leave the number alone just now
    resources    limits and reservations, in the words of compose          -> Resources
    profiles     the named profiles, and whether this host can carry one   -> Profile
"""
