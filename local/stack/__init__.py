"""The stack on this machine: the same template.yaml, deployed by the same `sam deploy`, to MiniStack."""

from local.stack.stack import Stack, free_port, running_stack

__all__ = ["Stack", "free_port", "running_stack"]
