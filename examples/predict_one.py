"""Predict the class of one photo from Python: python examples/predict_one.py PHOTO [CLASSES.csv]"""

import sys

from revcd_cli import Predictor

photo, classes = sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None
for prediction in Predictor.from_checkpoint("animals").predict([photo], classes=classes, top_k=3):
    if prediction.best is None:
        sys.exit(f"{prediction.path}: {prediction.reason} ({prediction.detail})")
    for candidate in prediction.candidates:
        known = "seen in training" if candidate.seen else "unseen: from its description only"
        print(f"{candidate.name:<16} {candidate.probability:5.1%}  {known}")
