"""Operations control plane of the Archon MCP platform."""

__version__ = "0.1.0"
