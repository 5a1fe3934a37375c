"""Start the platform.

::

    order       who waits for whom, from the catalogue
    start       services side by side, each ready when its probe says so   -> result.Started
    externals   Ollama and Supabase, looked at before anything goes down   -> externals.External
    counts      did a store come up with what it held                      -> counts.Loss
    alone       the platform's lock, as long as there is a repository to hold it in
    platform    all of this in order: what ``archon start`` does           -> report.Report
    cold_start  externals, down, pull, and then the same
"""
