"""How long making a Cloud-Optimized GeoTIFF takes beside rio-cogeo, GDAL's COG driver, and a script of the usual tools.

    make bench-cog
    make bench-cog ARGS="--keep FOLDER"          # sources are made once
    make bench-cog ARGS="--cases uint16 chips"
    make bench-cog ARGS="--shrink 16 --rounds 1" # whether it runs, not what it measures

Each run is a process of its own, begun when the one before has ended; contenders take turns, and the median counts. A
first turn warms up the page cache, and its outputs are compared with the source, pixel by pixel. Nobody is waited for
to sync. The report is Markdown, on the standard output.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from statistics import median

import rasterio

from benchmarks.contenders import (
    LEVELS,
    OURS,
    PEERS,
    Contender,
    codec,
    conversion,
    gdal,
    ours,
    ours_of,
    rio_cogeo,
    script,
)
from benchmarks.images import Picture, overviews_of
from benchmarks.machine import description, say
from benchmarks.processes import Run, run
from benchmarks.submission import Took, running_service, seconds_until_visible
from stac_ingest import DataType

MEMORY_AIM = 600e6
"""Bytes that we may have at most."""
OUR_CODECS = {OURS: "ISA-L", **{ours_of(level): f"libdeflate {level}" for level in LEVELS}}
"""What encodes the blocks, of each of ours."""
CHIPS = 1000


@dataclass(frozen=True)
class Case:
    """A source, and how many times our time others are meant to take, at least."""

    picture: Picture
    rio_aim: float | None = 4.0
    gdal_aim: float = 1.25
    codec_aim: float | None = 0.7
    """Share of our time that the codec alone takes, at least."""


CASES = (
    Case(Picture("uint16", "uint16", 1, 10_980)),
    Case(Picture("uncompressed", "uint16", 1, 10_980, is_compressed=False), gdal_aim=1.0),
    Case(Picture("rgb", "uint8", 3, 8192)),
    Case(Picture("float32", "float32", 1, 8192, nodata=-9999)),
    Case(Picture("sparse", "uint16", 1, 30_000, nodata=0, filled=0.05), rio_aim=20.0),
    Case(Picture("array", "uint16", 4, 2048, is_array=True), gdal_aim=1.0),
    Case(Picture("chip", "uint16", 1, 256), rio_aim=None, codec_aim=None),
)
HUGE = Picture("huge", "uint16", 1, 40_000)
OTHERS = ("script", "chips", "ingest", "huge")
SCRIPT_AIM, CHIPS_AIM, INGEST_AIM = 5.0, 10.0, 1.3


class Missed:
    """Counts the aims that were not met."""

    def __init__(self) -> None:
        self.count = 0

    def marked(self, number: float, aim: float | None, shown: str = "{:.2f}", *, at_most: bool = False) -> str:
        """Return a number beside its aim, in bold if it misses it."""
        text = shown.format(number)
        if aim is None:
            return text
        if number > aim if at_most else number < aim:
            self.count += 1
            text = f"**{text}**"
        return f"{text} ({'≤' if at_most else '≥'} {shown.format(aim)})"


def main() -> None:
    """Measure, and print the report."""
    options = parsed_options()
    missed = Missed()
    with tempfile.TemporaryDirectory() as temporary:
        folder = (options.keep or Path(temporary)).resolve()
        outputs = folder / "outputs"
        shutil.rmtree(outputs, ignore_errors=True)  # of a run that was interrupted
        outputs.mkdir(parents=True)
        print(f"{description()}, GDAL {rasterio.__gdal_version__}, {peer_versions()}.\n")
        print(f"Median of {options.rounds} processes each; the most memory that one had; MB are 10^6 bytes.\n")
        pictures = [replace(case.picture, side=max(256, case.picture.side // options.shrink)) for case in CASES]
        asked = [case for case in zip(CASES, pictures, strict=True) if case[0].picture.name in options.cases]
        if asked:
            print("| source | by | seconds | memory (MB) | file (MB) | times ours | times ours of the same level |")
            print("|---|---|---:|---:|---:|---:|---:|")
        for case, picture in asked:
            print_case(replace(case, picture=picture), folder, options.rounds, missed)
        if "script" in options.cases:
            print_script(pictures[0].made(folder), outputs, options.rounds, missed)
        if "chips" in options.cases:
            print_chips(folder, max(1, CHIPS // options.shrink), options, missed)
        if "ingest" in options.cases:
            print_ingest(pictures[0].made(folder), outputs, options.rounds, missed)
        if "huge" in options.cases:
            print_huge(replace(HUGE, side=HUGE.side // options.shrink), folder, missed)
        shutil.rmtree(outputs)
    print(f"\n{missed.count} aims missed, in bold." if missed.count else "\nAll aims met.")


def parsed_options() -> argparse.Namespace:
    """Return what the command line asks for."""
    names = [*(case.picture.name for case in CASES), *OTHERS]
    parser = argparse.ArgumentParser(description="Measure how long it takes to make Cloud-Optimized GeoTIFFs.")
    parser.add_argument("--cases", nargs="+", choices=names, default=names, metavar="NAME", help=f"of {names}")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder where sources stay, so that they are made once")
    parser.add_argument("--shrink", type=int, default=1, help="divides the sides of images, and the number of chips")
    parser.add_argument("--script-chips", type=int, default=20, help="for so many chips the script is run, not for all")
    return parser.parse_args()


def peer_versions() -> str:
    """Return which versions are in the peers' environment."""
    names = ("rasterio", "rio-cogeo", "rio-stac", "rio-tiler", "imagecodecs")
    code = f"from importlib.metadata import version; print(', '.join(f'{{n}} {{version(n)}}' for n in {names}))"
    return subprocess.run(
        [str(PEERS / "python"), "-c", code], check=True, stdout=subprocess.PIPE, text=True
    ).stdout.strip()


def print_case(case: Case, folder: Path, rounds: int, missed: Missed) -> None:
    """Print what each contender took for a source, and the codec alone."""
    name = case.picture.name
    say(f"{name}: making the source")
    source = case.picture.made(folder)
    target = folder / "outputs" / "0.tif"
    us = [Contender(OURS, ours([source], target)[:-1])]
    us += [Contender(ours_of(level), ours([source], target, level=level)[:-1]) for level in LEVELS]
    all_of = [*us, *rio_cogeo(case.picture, source, case.rio_aim), *gdal(source, case.gdal_aim)]
    targets = [target.with_stem(str(index)) for index in range(len(all_of))]
    compare(case.picture, source, all_of, targets)
    runs: list[list[Run]] = [[] for _ in all_of]
    codecs: list[dict[str, dict[str, float]]] = []
    for number in range(rounds):
        say(f"{name}: round {number + 1} of {rounds}")
        for contender, output, taken in zip(all_of, targets, runs, strict=True):
            output.unlink()
            taken.append(run([*contender.command, str(output)], contender.environment))
        run(codec(target.with_suffix(".json")))
        codecs.append(json.loads(target.with_suffix(".json").read_text()))
    took = {contender.name: seconds(taken) for contender, taken in zip(all_of, runs, strict=True)}
    for contender, output, taken in zip(all_of, targets, runs, strict=True):
        memory = missed.marked(memory_of(taken), MEMORY_AIM / 1e6 if contender in us else None, "{:.0f}", at_most=True)
        times = missed.marked(took[contender.name] / took[OURS], contender.aim)
        alike = ""
        if contender.alike:
            alike = missed.marked(took[contender.name] / took[contender.alike], contender.alike_aim)
        print_row(name, contender.name, took[contender.name], memory, output.stat().st_size, times, alike)
    for one, coder in OUR_CODECS.items():
        alone = median(found[coder]["seconds"] for found in codecs)
        share = missed.marked(alone / took[one], case.codec_aim)
        print_row(name, f"codec alone: {coder}", alone, "", int(codecs[0][coder]["bytes"]), "", share)


def compare(picture: Picture, source: Path, contenders: Sequence[Contender], targets: Sequence[Path]) -> None:
    """Run each once, and end the measurement unless all write the pixels of the source, and as many overviews."""
    for contender, target in zip(contenders, targets, strict=True):
        say(f"{picture.name}: comparing {contender.name}")
        target.unlink(missing_ok=True)
        run([*contender.command, str(target)], contender.environment)
        if difference := picture.difference(source, target):
            sys.exit(f"{contender.name} does not write what is in {source.name}: {difference}.")
        if overviews_of(target) != overviews_of(targets[0]):
            sys.exit(f"{contender.name} has overviews {overviews_of(target)}, ours {overviews_of(targets[0])}.")


def seconds(taken: Sequence[Run]) -> float:
    """Return the median of the times."""
    return median(one.seconds for one in taken)


def memory_of(taken: Sequence[Run]) -> float:
    """Return the most megabytes of all runs."""
    return max(one.memory for one in taken) / 1e6


def print_row(source: str, name: str, took: float, memory: str, size: int, times: str, alike: str) -> None:
    """Print a row of the table."""
    print(f"| {source} | {name} | {took:.2f} | {memory} | {size / 1e6:.2f} | {times} | {alike} |", flush=True)


def print_script(source: Path, outputs: Path, rounds: int, missed: Missed) -> None:
    """Print what a user's script takes beside what a worker does with an upload, and beside our command."""
    steps = script(source, outputs / "scripted.tif")
    todo = {
        "a worker's conversion, with previews ²": partial(run_conversion, source, outputs),
        "`stac-ingest cog --report`": partial(
            run, ours([source], outputs / "ours.tif", report=outputs / "report.json")
        ),
        **{f"script: {step.name}{'' if step.is_ours else ' ¹'}": partial(run, step.command) for step in steps},
    }
    runs: dict[str, list[Run]] = {name: [] for name in todo}
    for number in range(rounds + 1):
        say(f"script: round {number} of {rounds}" if number else "script: warming up")
        for path in outputs.iterdir():
            path.unlink()
        for name, take in todo.items():
            runs[name].append(take())
    medians = [seconds(taken[1:]) for taken in runs.values()]
    whole = sum(medians[2:])
    alike = sum(took for took, step in zip(medians[2:], steps, strict=True) if step.is_ours)
    print(
        f"\nAll that is done with one file ({source.name}), beside a script of the usual tools. Statistics are of all"
    )
    print("pixels and the outline is theirs here; there they are of a thumbnail, and of the corners.\n")
    print("| | seconds | memory (MB) | times ours |\n|---|---:|---:|---:|")
    for number, (name, taken) in enumerate(runs.items()):
        print(f"| {name} | {medians[number]:.2f} | {memory_of(taken):.0f} | |")
    print(f"| script, beside the worker's | {whole:.2f} | | {missed.marked(whole / medians[0], SCRIPT_AIM)} |")
    print(f"| script without ¹, beside our command | {alike:.2f} | | {missed.marked(alike / medians[1], SCRIPT_AIM)} |")
    print("\n¹ Our command does not do that. ² In a converter that waits for it, as in a worker.", flush=True)


def run_conversion(source: Path, folder: Path) -> Run:
    """Run a worker's conversion, and return what it took without the start of its process."""
    result = folder / "conversion.json"
    return replace(run(conversion(source, result)), seconds=json.loads(result.read_text()))


def print_chips(folder: Path, count: int, options: argparse.Namespace, missed: Missed) -> None:
    """Print what many small files take in one process of ours, and in a loop of the script over them."""
    say(f"chips: making {count}")
    (folder / "chips").mkdir(exist_ok=True)
    chips = [Picture(f"chip-{seed}", "uint16", 1, 256, seed=seed) for seed in range(count)]
    sources = [chip.made(folder / "chips") for chip in chips]
    target, scripted = folder / "outputs" / "chips", folder / "outputs" / "scripted.tif"
    some = sources[: options.script_chips]
    our_runs: list[Run] = []
    loops: list[tuple[float, float]] = []
    for number in range(options.rounds):
        say(f"chips: round {number + 1} of {options.rounds}")
        shutil.rmtree(target, ignore_errors=True)
        target.mkdir()
        our_runs.append(run(ours(sources, target, report=folder / "outputs" / "report.json")))
        steps = [(step, run(step.command).seconds) for source in some for step in script(source, scripted)]
        whole, alike = (sum(took for step, took in steps if step.is_ours or every) for every in (True, False))
        loops.append((whole * count / len(some), alike * count / len(some)))
    for chip, source in zip(chips, sources, strict=True):
        if difference := chip.difference(source, target / source.name):
            sys.exit(f"We do not write what is in {source.name}: {difference}.")
    took = seconds(our_runs)
    whole, alike = (median(times) for times in zip(*loops, strict=True))
    print(f"\n{count:,} chips of 256 x 256 pixels (uint16); the script was run for {len(some)}, and is multiplied.\n")
    print("| | seconds | memory (MB) | times ours |\n|---|---:|---:|---:|")
    print(f"| `stac-ingest cog --report`, one process | {took:.2f} | {memory_of(our_runs):.0f} | |")
    print(f"| the script for each | {whole:.0f} | | {whole / took:.0f} |")
    alike_times = missed.marked(alike / took, CHIPS_AIM, "{:.0f}")
    print(f"| of that, what our command does too | {alike:.0f} | | {alike_times} |", flush=True)


def print_ingest(source: Path, outputs: Path, rounds: int, missed: Missed) -> None:
    """Print how long it takes from the submission of a file until its image is in the catalog."""
    alone: list[Run] = []
    visible: list[Took] = []
    with running_service(outputs / "service", DataType.UINT16) as client:
        for number in range(rounds + 1):
            say(f"ingest: round {number} of {rounds}" if number else "ingest: warming up")
            (outputs / "alone.tif").unlink(missing_ok=True)
            alone.append(run(ours([source], outputs / "alone.tif")))
            visible.append(seconds_until_visible(source, client, f"image-{number}"))
    writer = seconds(alone[1:])
    whole, submitted = median(took.all for took in visible[1:]), median(took.since_submit for took in visible[1:])
    print(f"\nUntil the image of one file ({source.name}) is in the catalog.\n")
    print("| | seconds | times the writer |\n|---|---:|---:|")
    print(f"| the writer alone: `stac-ingest cog` | {writer:.2f} | 1 |")
    print(f"| submit to visible | {submitted:.2f} | {missed.marked(submitted / writer, INGEST_AIM, at_most=True)} |")
    print(f"| with the transfer before, by the SDK | {whole:.2f} | {whole / writer:.2f} |", flush=True)


def print_huge(picture: Picture, folder: Path, missed: Missed) -> None:
    """Print how much memory a file takes of which not even a row of blocks fits into the cache of a processor."""
    say(f"{picture.name}: making the source")
    source = picture.made(folder)
    outputs = folder / "outputs"
    todo = {
        "`stac-ingest cog`": partial(run, ours([source], outputs / "huge.tif")),
        "a worker's conversion, with previews": partial(run_conversion, source, outputs),
    }
    size = source.stat().st_size / 1e6
    print(f"\n{picture.side:,} x {picture.side:,} pixels ({picture.dtype}, {size:,.0f} MB), once.\n")
    print("| | seconds | memory (MB) |\n|---|---:|---:|")
    for name, take in todo.items():
        say(f"{picture.name}: {name}")
        taken = take()
        memory = missed.marked(taken.memory / 1e6, MEMORY_AIM / 1e6, "{:.0f}", at_most=True)
        print(f"| {name} | {taken.seconds:.1f} | {memory} |", flush=True)
        (outputs / "huge.tif").unlink(missing_ok=True)


if __name__ == "__main__":
    main()
