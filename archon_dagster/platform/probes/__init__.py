"""Ask a service whether it is well, and read the answer instead of its status code.

The platform's services answer HTTP 200 while degraded, Qdrant's ``/readyz`` is content with dead collections, a
database accepts connections before it can use them. A probe never raises for a service that is not well: that is
its answer.
"""

from archon_dagster.platform.probes.addresses import address
from archon_dagster.platform.probes.answer import Answer
from archon_dagster.platform.probes.asking import probe, warm_up
from archon_dagster.platform.probes.verdict import judge

__all__ = ["Answer", "address", "judge", "probe", "warm_up"]
