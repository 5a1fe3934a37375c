"""The control plane's own metrics, for Prometheus: what is stored already, told in its words.

Nothing here asks the platform anything: a scrape costs it nothing, and is answered while it is down. Every number is a
fact of a home, of a repository or of this host at some time, so all of them are gauges, and times are timestamps: how
old something is, Prometheus computes itself, also when nobody writes here any more.
"""
