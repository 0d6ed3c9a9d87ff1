"""`make bench`: measure, print the tables, save the figures, draw them."""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path

from rich.console import Console

from benchmarks.contestants import CONTESTANTS
from benchmarks.document import write_document
from benchmarks.experiment import Experiment, measure
from benchmarks.plan import LARGE, MILLION, ONE, REPLY_WORDS, SIZE, SMALL, Step, steps
from benchmarks.plot import draw
from benchmarks.servers import servers
from benchmarks.tables import table_of_size, table_of_targets
from benchmarks.targets import Measured, Target, targets


def main() -> None:
    options = _options()
    console = Console()
    by_hand = options.requests or options.contestants
    if by_hand:
        names = options.contestants or list(CONTESTANTS)
        planned = [Step(each, names, options.rounds) for each in [ONE, *(options.requests or [])]]
    else:
        planned = steps(rounds=options.rounds, million=options.million)
    found: dict[int, Experiment] = {}

    def say(line: str) -> None:
        console.print(line, soft_wrap=True)

    if not options.show:
        with (
            tempfile.TemporaryDirectory(prefix="benchmarks-") as home,
            servers(Path(home), reply_words=REPLY_WORDS) as running,
        ):
            for step in planned:
                found[step.requests] = measure(running, step, size=options.size, say=say)
    if by_hand:
        _print(
            console, found, [each for each in targets(Measured(found)) if each.reached is not None]
        )
        return
    for experiment in found.values():
        experiment.save()
    for requests in (ONE, SMALL, LARGE, MILLION):
        saved = Experiment.load(requests, SIZE)
        if saved is not None:
            found[requests] = saved
    if LARGE not in found:
        raise SystemExit("Nothing has been measured yet: run `make bench` first.")
    lines = targets(Measured(found))
    _print(console, found, lines)
    tables = [table_of_size(found[each], Measured(found)) for each in sorted(found)]
    write_document(table_of_targets(lines), tables, list(found.values()))
    draw(found)


def _print(console: Console, found: dict[int, Experiment], lines: list[Target]) -> None:
    measured = Measured(found)
    # A table that is cut cannot be read: let a narrow terminal break the lines instead.
    console.width = max(console.width, 220)
    for requests in sorted(found):
        console.print(table_of_size(found[requests], measured).rich())
    if lines:
        console.print(table_of_targets(lines).rich())


def _options() -> Namespace:
    parser = ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3, help="runs of each contestant")
    parser.add_argument("--million", action="store_true", help="a million requests as well")
    parser.add_argument("--show", action="store_true", help="measure nothing, show what is saved")
    own = parser.add_argument_group("a plan of your own, which is shown and not saved")
    own.add_argument("--requests", type=int, nargs="+", help="the sizes, beside one row")
    own.add_argument("--size", type=int, default=SIZE, help="bytes of each request")
    own.add_argument("--contestants", nargs="+", choices=list(CONTESTANTS))
    return parser.parse_args()


if __name__ == "__main__":
    main()
