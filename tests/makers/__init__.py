"""Makers of files, good and bad, that several test modules share. Everything is drawn from fixed seeds."""
