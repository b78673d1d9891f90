"""`impact`: the command line of the Impact Service.

`verbs/` has a module for each command: its options, and what it prints. What a command does to a stack is
in the modules beside it. They use the API (`impact_client`) where a read token is enough, else AWS, with
the functions' own keys, sums and rules (`impact`). Modules that load boto3 are imported when a command needs
them: `impact --help` must be quick.
"""
