"""Benchmarks of tinynet and other libraries; see README.md in this folder.

``contenders.py`` lists the contenders, ``nets.py`` implements the networks in each of them, and
``check.py`` is the NumPy implementation with which their results are compared before they are
timed. ``worker.py`` is the process of a contender, ``harness.py`` interleaves the contenders,
``suites.py`` defines the measurements, and ``report.py`` creates tables and plots.
"""
