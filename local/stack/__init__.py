"""The stack on this machine: `sam deploy` deploys the same template.yaml to MiniStack, an AWS emulator."""

from local.stack.stack import Stack, free_port, running_stack

__all__ = ["Stack", "free_port", "running_stack"]
