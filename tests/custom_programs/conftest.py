"""The programs here are run by test_custom_programs; they are not tests."""

collect_ignore_glob = ["*.py"]
