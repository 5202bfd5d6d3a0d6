"""What is done with the answers of `revcd predict`: photos sorted into folders, keywords in XMP sidecars, and undo.

May import what lies below `pipeline`. No networks.
"""
