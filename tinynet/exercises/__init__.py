"""Exercises that accompany the course, with a check that names the mistake in a wrong answer.

`list` shows the exercises, `show` a task, `check` checks an answer, `hint` shows the next hint and
`solution` the implementation in tinynet. Exercises have a number and a name. Progress is kept until
Python exits.
"""

from tinynet.exercises.session import Result, Text, check, hint, list, progress, show, solution

__all__ = ["Result", "Text", "check", "hint", "list", "progress", "show", "solution"]


def __dir__() -> tuple[str, ...]:
    return (*__all__,)
