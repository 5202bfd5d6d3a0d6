"""The list of all faults by section, and the cases of each."""

from __future__ import annotations

from collections.abc import Iterator

from .cases import (
    archives,
    class_tables,
    datasets,
    features,
    full_disks,
    interruptions,
    models,
    outputs,
    paths,
    run_options,
    silent_inputs,
    training_and_terminals,
    unreadable_images,
    unusual_images,
)

SECTIONS = {
    "Image files": """
        no bytes; a byte or two; a text file; a web page; a Git LFS pointer; a JPEG cut in half; a JPEG without its
        end; a damaged PNG; random bytes inside; a header of 3,600 megapixels; a header of 150 megapixels; extreme
        strips; a single pixel; a text that decompresses to megabytes; a wrong suffix; HEIC without its reader; EPS,
        PDF and SVG; EXIF orientations; broken EXIF; CMYK and YCC; grey, palettes and transparency; 16 and 32 bits and
        floating point; animations and pages; a corrupt colour profile; junk and metadata of many megabytes; the same
        photo again; deleted meanwhile; still being written; no permission; all photos bad""",
    "Paths and folders": """
        no such path; a folder without photos; 10,000 files 50 folders deep; circular links; not a regular file;
        hidden files; suffixes in any case; odd names; names like markup; names that are not UTF-8; normal forms of
        Unicode; one name in two folders; a pattern without a match; a list on standard input; hostile zips; hostile
        tars; a slow disk""",
    "Class tables": """
        no table; encodings; separators; a decimal comma; line endings, blank lines, comments; cells too few or too
        many; cells that are not numbers; a duplicate or empty class name; a duplicate attribute; columns in another
        order; attributes missing or unknown; no header; renamed attributes; quotes; NUL, giant cells, giant files;
        rows without information; another scale; one class; 50,000 classes; a known class with another description;
        formulas""",
    "Features and benchmarks": """
        damaged feature files; files that claim too much; another width, type or shape; values that are not finite;
        rows that do not match; another backbone's features; damaged benchmarks; a benchmark that is not installed;
        spellings of a benchmark's name""",
    "Models and weights": """
        damaged or other files; pickles that run code; metadata; tensors that do not match; weights that are not
        finite; names that do not match the table; other weights than the model's; weights that are not installed;
        replaced while it is loaded""",
    "Outputs": """
        an output that exists; folders of the output; disk full or no permission; links and devices; modes; killed at
        a random time; Ctrl-C and SIGTERM; a closed pipe; ASCII and closed streams; two runs, one output; clocks; a
        damaged journal; numbers in JSON and CSV""",
    "Running": """
        devices; batch sizes; memory that runs out; no memory for a single photo; another error of the model; workers;
        one photo in several places; seeds; --top-k; train.false_reject; very small training sets; test sets without
        photos; terminals; no network; help; no command or a wrong one; names of classes""",
    "Datasets": """
        photos that failed in feature files; columns on other scales; list and disk spell names otherwise; classes that
        lose their photos; photos that the list lacks; files of storage systems; copies; folders that state a split;
        wide grey values; lines that begin with #; photos swapped after their features were cached; formats that are
        passed over; files that are not the user's; tables of spreadsheets; addresses; a table changed after training;
        names that differ by a mark; the cache of features""",
}
TITLES = [" ".join(title.split()) for titles in SECTIONS.values() for title in titles.split(";")]  # fault 1 first

_MODULES = (
    *(unreadable_images, unusual_images, paths, archives, class_tables, features, models),
    *(outputs, full_disks, interruptions, run_options, training_and_terminals, datasets),
    silent_inputs,
)
FAULTS = tuple(sorted((fault for module in _MODULES for fault in module.FAULTS), key=lambda fault: fault.number))


def sections() -> Iterator[tuple[str, range]]:
    """Yield each section with the numbers of its faults."""
    start = 1
    for name, titles in SECTIONS.items():
        end = start + len(titles.split(";"))
        yield name, range(start, end)
        start = end
