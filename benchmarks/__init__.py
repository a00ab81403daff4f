"""Benchmarks of tinynet and other libraries; see README.md in this folder.

``contenders.py`` lists the contenders, ``nets.py`` implements the networks in each of them, and
``check.py`` contains the NumPy implementation that the results are compared with before the
measurements. ``worker.py`` is the process of a contender, ``harness.py`` interleaves the
contenders, ``suites.py`` defines the measurements, and ``report.py`` creates tables and plots.
"""
