"""`python -m meshflow_prefect.cli`."""

from meshflow_prefect.cli import main

main()
