"""Classify the photos of `revcd predict`, and print or write each prediction."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING

from ...terminal import console
from ...terminal.findings import print_findings
from ...terminal.prediction_messages import one_line, summarise
from ...terminal.resuming import resumable
from .output import open_output, origin

if TYPE_CHECKING:
    from ....data.features.feature_set import FeatureSet
    from ....data.photos.passed_over import PassedOver
    from ....pipeline.extract.listing import SourceList
    from ....pipeline.predict.candidates import CandidateClasses
    from ....pipeline.predict.columns import Layout
    from ....pipeline.predict.options import PredictOptions
    from ....pipeline.predict.predictions import OutputFormat, Prediction
    from ....pipeline.predict.predictor import Predictor


@dataclass
class Run:
    """What is classified, and how; `to_file` and `to_stdout` return the exit code."""

    predictor: Predictor
    given: list[str] | FeatureSet | SourceList  # the arguments, features, boxes or frames
    candidates: CandidateClasses
    options: PredictOptions
    form: OutputFormat
    excel: bool
    null: bool  # a list on standard input is separated by NUL
    layout: Layout
    root: str  # folder to which the formats of other programs give paths

    @cached_property
    def passed(self) -> PassedOver:
        """The files in folders and archives that are no photos."""
        from ....data.photos.passed_over import PassedOver

        return PassedOver()

    def to_file(self, output: Path, overwrite: bool, fresh: bool) -> int:
        """Write the predictions to a file, resuming an interrupted run. fresh: start over."""
        from ....pipeline.extract.listing import Listing
        from ....pipeline.predict.resumable import ResumablePrediction
        from ....system.files import check_output, exclusive

        given = Listing(self.given, self.null) if isinstance(self.given, list) else self.given
        with resumable(output), exclusive(output):
            run = ResumablePrediction(
                self.predictor, given, output, self.candidates, self.options, fresh=fresh, on_note=console.note
            )
            is_incomplete = self.form.value == "jsonl" and run.resumes
            check_output(output, overwrite=overwrite or is_incomplete)  # again: another run may have written it since
            with console.progress("Classifying") as on_progress:
                tally = self._write(run.run(on_progress, self.passed), output)
            run.finish()
        return self._summarise(tally, output)

    def to_stdout(self) -> int:
        """Print the predictions as they are computed."""
        with console.progress("Classifying") as on_progress:
            predictions = self.predictor.stream(
                self.given,
                classes=self.candidates,
                null_separated=self.null,
                passed=self.passed,
                on_progress=on_progress,
                on_note=console.note,
                **asdict(self.options),
            )
            tally = self._write(predictions, None)
        return self._summarise(tally, None)

    def _write(self, predictions: Iterator[Prediction], output: Path | None) -> Counter[str]:
        """Write each prediction; return how many have each status."""
        tally: Counter[str] = Counter()
        first = next(predictions)  # raises an error if there is no photo, before an existing output is replaced
        from ....data.features.feature_set import FeatureSet
        from ....data.parts.megadetector import BoxList

        given = self.given
        record = given.backbone if isinstance(given, FeatureSet) else self.predictor.backbone.record
        header = origin(self.predictor, record, self.candidates, self.options)
        descriptions = self.predictor.descriptions(self.candidates) if self.options.explain else None
        opened = open_output(
            output,
            self.form,
            header,
            excel=self.excel,
            layout=self.layout,
            descriptions=descriptions,
            boxes=given if isinstance(given, BoxList) else None,
            root=self.root,
        )
        with opened as write:
            for prediction in itertools.chain([first], predictions):
                tally[prediction.status] += 1
                if prediction.status == "failed":
                    console.warn(f"{prediction.path}: {prediction.reason} ({prediction.detail})")
                elif output is not None:
                    console.detail(one_line(prediction))
                write(prediction)
        return tally

    def _summarise(self, tally: Counter[str], output: Path | None) -> int:
        print_findings(self.passed.findings())
        return summarise(tally, output, self.form.value == "html")
