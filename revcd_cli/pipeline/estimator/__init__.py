"""A zero-shot classifier with the interface of scikit-learn, for features in memory.

May import what lies below `pipeline`, and `pipeline.train` and `pipeline.predict`. scikit-learn is not needed.
"""
