"""A deterministic simulation of the whole path: one seed decides what happens, and when.

The callback's outbox and sender, ingest, ledger, rollup planner and worker are the real code. Clock,
network, AWS Lambda and DynamoDB are simulated, with many failures: processes die in the middle of
their work, responses get lost, days are recomputed twice at once, clocks differ. In the end all failures
stop, the outboxes drain, and an oracle checks that each captured event is in the ledger once and in its
summary once.

`world` simulates time and processes, `database` DynamoDB, `cloud` Lambda, API Gateway and SQS, `proxy`
LiteLLM proxies. `scenario` is what a seed decides, `oracle` what must hold, `mutants` the defects that must
be found. `explained` computes each final summary once more, as `impact explain` does.
"""
