"""Objects in an S3 bucket: AWS and every server that speaks its protocol.

``address`` and ``settings`` say where and how, ``client`` talks, ``errors`` explains refusals, ``probe`` finds out what
an endpoint can do, ``reading``, ``writing`` and ``conditional`` move bytes, ``backend`` puts them together.
"""
