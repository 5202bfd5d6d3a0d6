"""Feature extraction: image features of photos, resumable, with a reason for each photo that failed.

May import what lies below `pipeline`.
"""
