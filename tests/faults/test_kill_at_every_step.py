"""A run whose processes are SIGKILLed at any step pays for one batch and loses no row."""

from __future__ import annotations

import pytest

from tests.faults.matrix import Row
from tests.faults.outcome import outcome_of
from tests.faults.points import POINTS, Point
from tests.support.bystander import Bystander
from tests.support.killing import Sword
from tests.support.processes import wait_until
from tests.support.rig import Rig
from tests.support.tripwire import Trap

REQUESTS = 7


@pytest.mark.parametrize("point", POINTS, ids=lambda point: str(point).replace(" ", "-"))
def test_a_run_that_is_killed_pays_once_and_loses_no_row(rig, matrix, point):
    first, *others = point.kills
    trap, sword = armed(rig, first)
    run_id = rig.start(count=REQUESTS)
    sword.point_at(run_id)
    trap.wait(120)
    bystander = Bystander(rig.stack, run_id)
    for other in others:
        trap, sword = armed(rig, other)
        sword.point_at(run_id)
        see_killed(bystander, trap)

    run = bystander.see_to_the_end(300)

    outcome = outcome_of(rig, run, REQUESTS)
    assert not outcome.problems, rig.stack.logs(run_id)
    assert not bystander.failures
    trap.wait(0)
    matrix(
        Row(
            group="kills",
            fault=f"the run is killed {point}",
            seen=", then ".join([*bystander.seen, outcome.state]),
            created=outcome.created,
            paid=outcome.paid,
            lost=outcome.lost,
        )
    )


def armed(rig: Rig, point: Point) -> tuple[Trap, Sword]:
    for wire in rig.wires.values():
        wire.disarm()
    sword = Sword()
    return rig.wires[point.wire].arm(point.trap(sword)), sword


def see_killed(bystander: Bystander, trap: Trap) -> None:
    """Bring the run back until it is killed again, or has ended without."""
    wait_until(lambda: trap.sprung.is_set() or bystander.look(), "the run is killed once more")
