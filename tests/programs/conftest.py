"""Programs that `test_programs` runs; they are not tests."""

collect_ignore_glob = ["*.py"]
