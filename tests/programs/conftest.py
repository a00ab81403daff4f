"""The programs here are run by test_programs, and are no tests themselves."""

collect_ignore_glob = ["*.py"]
