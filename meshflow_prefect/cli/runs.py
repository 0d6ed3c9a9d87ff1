"""Commands that look after runs: what they have submitted, and what they cannot decide."""

from __future__ import annotations

from dataclasses import asdict

from meshflow_prefect.cli.app import app, done, print_json


@app.command
def submissions(run_id: str) -> None:
    """Print what a flow run has submitted, one JSON object a line.

    Parameters
    ----------
    run_id
        The flow run, or any run below it.
    """
    from meshflow_prefect import decisions

    for entry in done(decisions.submissions(run_id)):
        print_json(asdict(entry))


@app.command
def adopt(run_id: str, batch_id: str, *, number: int | None = None) -> None:
    """Take a batch for the one whose answer a run has lost. Then retry the run.

    Parameters
    ----------
    run_id
        The flow run that failed because it could not know.
    batch_id
        One of the candidates that its error names.
    number
        Which submission of the run, where several have lost their answer.
    """
    from meshflow_prefect import decisions

    entry = done(decisions.adopt(run_id, batch_id, number))
    print(f"Submission {entry.number} of the run is batch {entry.batch_id}. Now retry the run.")


@app.command
def resubmit(run_id: str, *, number: int | None = None) -> None:
    """Have a run send a create call again whose answer was lost. Then retry the run.

    If one of the candidates was made by it after all, that batch is billed too.

    Parameters
    ----------
    run_id
        The flow run that failed because it could not know.
    number
        Which submission of the run, where several have lost their answer.
    """
    from meshflow_prefect import decisions

    entry = done(decisions.submit_anew(run_id, number))
    print(f"Submission {entry.number} of the run will be sent again. Now retry the run.")


@app.command
def wake(run_id: str) -> None:
    """Start a run again that stays in Suspended or Pending: its process or its worker died there.

    Parameters
    ----------
    run_id
        The flow run, or any run below it.
    """
    from meshflow_prefect import decisions

    print(f"Run {done(decisions.wake(run_id)).name!r} is started again.")
