"""A configuration that is good, in the runbook's names, and ways to spoil it."""

from __future__ import annotations

GOOD = """\
# === Core Service Configuration ===
ARCHON_ENVIRONMENT=production
LOG_LEVEL=INFO
DEBUG_MODE=false

# === Service Ports ===
INTELLIGENCE_SERVICE_PORT=8053
SEARCH_SERVICE_PORT=8055
BRIDGE_SERVICE_PORT=8054
MCP_SERVER_PORT=8051

QDRANT_URL=http://qdrant:6333
MEMGRAPH_URI=bolt://memgraph:7687
SUPABASE_URL=https://example.supabase.co
SUPABASE_SERVICE_KEY=sb_secret_4f9a72c1
OLLAMA_BASE_URL=http://ollama.example:11434
EMBEDDING_MODEL=rjmalagon/gte-qwen2-1.5b-instruct-embed-f16:latest
EMBEDDING_DIMENSIONS=1536

BATCH_SIZE=25
MAX_CONCURRENT_EMBEDDINGS=3
VECTOR_SEARCH_TIMEOUT=5000
AUTO_REFRESH_ENABLED=true
INDEX_OPTIMIZATION_INTERVAL=3600

SERVICE_AUTH_TOKEN=9f2b7c1ad04e4f6e8a55
CORS_ALLOWED_ORIGINS=https://app.yourdomain.com
ENABLE_METRICS=true
METRICS_PORT=9464
HEALTH_CHECK_INTERVAL=30
"""


def with_(*lines: str, without: str = "") -> bytes:
    """The good file with lines in the place of those that set the same variable, or after its end."""
    new = {line.partition("=")[0]: line for line in lines}
    kept = []
    for line in GOOD.splitlines():
        name = line.partition("=")[0]
        if name != without or not without:
            kept.append(new.pop(name, line))
    return "\n".join([*kept, *new.values(), ""]).encode()


def line_of(content: bytes, name: str) -> int:
    """Where a variable stands."""
    return next(number for number, line in enumerate(content.decode().splitlines(), 1) if line.startswith(f"{name}="))


OLD, NEW = GOOD.encode(), with_("BATCH_SIZE=10")
BAD = with_("BATCH_SIZE=13")  # valid, and the search service does not start with it
READERS = ("archon-intelligence", "archon-search")  # of BATCH_SIZE
