"""Backups that were not made by this program: dumps made by hand, and the directories of the runbook's script.

What can be used of them is imported as a backup of the repository, so that it is verified, planned with, restored and
undone like any other.
"""
