"""What kind of work a request is, read from its payload in microseconds; pure, no sockets, no clock.

::

    facts = facts_of(body)          # parsed JSON → PayloadFacts
    guess = task_of(facts)          # → TaskGuess(task, confidence, p_local_ok, flags)
    task = routed_as(guess, facts)  # → the class that rules and evidence go by

numpy is imported with the weights, on the first guess or ``load_model()``, not by importing this package.
"""

from spillway.classify.facts import PayloadFacts, facts_of
from spillway.classify.model import TASKS, TaskGuess, TaskModel, load_model, task_of
from spillway.classify.naming import routed_as
from spillway.classify.owned import OwnTask, OwnTasks, read_own_tasks, write_own_tasks

__all__ = [
    "TASKS",
    "OwnTask",
    "OwnTasks",
    "PayloadFacts",
    "TaskGuess",
    "TaskModel",
    "facts_of",
    "load_model",
    "read_own_tasks",
    "routed_as",
    "task_of",
    "write_own_tasks",
]
