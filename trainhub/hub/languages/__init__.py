"""The words of notifications, a file for each language."""
