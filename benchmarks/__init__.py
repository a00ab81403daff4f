"""How fast tinynet is, side by side with others: see README.md in this folder.

``contenders.py`` is the table of who takes part, ``nets.py`` the same net in each of them,
``check.py`` the plain NumPy net that they must all agree with before they are timed.
``worker.py`` is one contender's process, ``harness.py`` makes them take turns, ``suites.py`` says
what is measured, and ``report.py`` turns the figures into tables and plots.
"""
