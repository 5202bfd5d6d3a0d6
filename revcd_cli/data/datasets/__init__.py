"""Datasets: photos with class labels, a class table and a train/test split, in each form that revcd reads.

May import the rest of `data`.
"""
