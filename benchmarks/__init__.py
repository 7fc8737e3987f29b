"""Benchmarks of jaxmimo against NumPy and against what the machine can do.

`python -m benchmarks` measures every case, prints the goals and writes JSON on request. A case
asserts agreement with a closed form before it times anything. To add one: its jaxmimo side in
`workloads`, its NumPy side in a module of its own, its measurements in a function listed in
`cases.CASES`.
"""
