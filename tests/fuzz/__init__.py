"""Coverage-guided fuzzing of the readers of untrusted files: ``python -m tests.fuzz --help``."""

#: The formats; "zip" is version 1 of .tinynet, and "backup" is the file of `BackupAndRestore`.
FORMATS = (
    *("idx", "npz", "png", "csv", "tinynet", "zip", "safetensors", "json", "backup"),
    *("keras", "h5", "weights"),
)
