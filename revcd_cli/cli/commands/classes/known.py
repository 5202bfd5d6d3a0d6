"""`revcd classes known`: propose labels of the backbone's classifier for the classes of a table. No torch import."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ....errors import listed
from ...options import BackboneOption, JsonOption, OverwriteOption, expand, expand_short
from ...terminal import console

if TYPE_CHECKING:
    from ....backbones.labels import LabelSet
    from ....pipeline.known_classes.proposals import Proposal

_LISTED = 3  # labels of a class in the table


def known(
    table: Annotated[
        Path,
        typer.Argument(
            metavar="CSV", help="A class table, such as attributes.csv.", show_default=False, callback=expand
        ),
    ],
    output: Annotated[
        Path | None,
        typer.Option("--output", "-o", metavar="FILE", help="Write known.csv, to look over.", callback=expand_short),
    ] = None,
    backbone: BackboneOption = "embedded",
    as_json: JsonOption = False,
    overwrite: OverwriteOption = False,
) -> None:
    """Propose which classes of a table the backbone's own classifier knows.

    A class that is a label of the classifier (ImageNet has 1,000) needs no photo: the classifier's weights say where
    its photos lie among the features. Labels are found by name. Doubtful ones are marked, and written as comment lines:
    several labels with one name ("crane"), a label of another kind of thing ("mouse", a computer mouse), a name that is
    only a part of the label's ("fox", "red fox"). Classes that the dataset tests as unseen are left out.

    Put known.csv next to attributes.csv, or give it to `revcd train --known`.

    \b
    revcd classes known my-animals/attributes.csv
    revcd classes known my-animals/attributes.csv -o my-animals/known.csv
    """
    from ....backbones.labels import labels_of_backbone
    from ....pipeline.known_classes.proposals import propose_for_table, write_proposals
    from ....system.files import check_output

    if output is not None:
        output = check_output(output, overwrite=overwrite)
    labels = labels_of_backbone(backbone)
    proposals, left_out = propose_for_table(table, labels)
    if output is not None:
        write_proposals(output, proposals, labels)
    if as_json:
        console.result_json([_json(each, labels) for each in proposals])
    else:
        rows = [[each.name, listed([labels.title(k) for k in each.labels], _LISTED), each.doubt] for each in proposals]
        console.result_table(["class", "label", "look over"], rows)
    certain = sum(each.is_certain for each in proposals)
    console.note(
        f"{certain} classes have a label of {labels.name} with their name, {len(proposals) - certain} more have to be "
        "looked over."
    )
    if left_out:
        console.note(f"Left out, because the dataset tests them as unseen: {listed(left_out, 10)}.")
    if output is not None:
        console.note(f"Written to {output}; doubtful labels are comment lines there.")


def _json(proposal: Proposal, labels: LabelSet) -> dict[str, Any]:
    found = [
        {"index": k, "id": labels.ids[k], "names": labels.names[k], "definition": labels.definitions[k]}
        for k in proposal.labels
    ]
    return {"class": proposal.name, "labels": found, "doubt": proposal.doubt or None}
