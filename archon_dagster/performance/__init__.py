"""Performance: how fast is the platform, is it slower than it was, and tuning that is seen to hold.

::

    measures      what is measured, in which unit, and when more or less of it is worse
    sampling      one question, asked often, within bounds                -> sampling.Sample
    response_times, vectors, graph, database, machine                     what is asked of each part
    measuring     all of them, one after the other                        -> measures.Measurement
    report        a measurement beside the baseline                       -> report.Report
    comparison    two measurements                                        -> comparison.Change
    baseline      what is compared with, kept in the home; renewed by what is not worse
    tuning/       settings that exist, applied with a way back, and who undid them
    summary       all of it for people
"""
