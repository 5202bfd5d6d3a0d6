"""Feature extraction: photos to features, resumable, with a row for each photo that failed.

May import what lies below `pipeline`.
"""
