"""The kinds of classes: how a model knows each of its candidates."""

from __future__ import annotations

PHOTOS = "photos"  # trained on photos of it
KNOWN = "known"  # trained without photos of it, by its label in the backbone's own classifier
DESCRIBED = "described"  # by its description only
KINDS = (PHOTOS, KNOWN, DESCRIBED)
