"""Studies: the paper's two experiments, and the ablation from the paper's settings to the defaults.

May import the other parts of `pipeline`.
"""
