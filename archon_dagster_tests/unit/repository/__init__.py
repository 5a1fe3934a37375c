"""The backup repository on a local directory, no servers."""
