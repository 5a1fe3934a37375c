"""Recovery drills: break a real platform on purpose, touch nothing, and see that it comes back whole.

``python -m drills recovery`` injects one failure after the other, ``python -m drills kills`` kills at random.
Both start `archon up` in a home of their own: the embedded platform, the webserver, the daemon with its sensors. What
is measured is what an operator would see: incidents, alerts, fingerprints of the data, seconds.
"""
