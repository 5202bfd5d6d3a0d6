"""Rivals of another kind, each fitted on the seen classes and scoring any class by its description."""
