"""Known classes: their labels in the backbone's classifier, proposals of labels by name, and their training features.

May import what lies below `pipeline`.
"""
