"""A deterministic simulation of the whole path: one seed decides all that happens, and when.

The callback's outbox and sender, ingest, ledger, rollup planner and worker are the real ones. Clock,
network, AWS Lambda and DynamoDB are simulated, and the simulation is unkind: processes die in the middle of
their work, answers get lost, days are counted twice at once, clocks differ. In the end everything is let
drain, and an oracle says whether each captured event is in the ledger once and in its summary once.

`world` is time and processes, `database` DynamoDB, `cloud` Lambda and API Gateway, `proxy` LiteLLM proxies,
`scenario` what a seed decides, `oracle` what must hold, `mutants` what has to be found.
"""
