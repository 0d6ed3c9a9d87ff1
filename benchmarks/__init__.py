"""One job through the SDK's loop, plain HTTP by hand, and this package, side by side.

Every run is a process of its own, in turn, against the same emulator and the same Prefect server.
All read the same file and write a file of the same rows. `make bench` prints the table and draws
it; `python -m benchmarks --help` has the sizes.
"""
