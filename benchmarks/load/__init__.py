"""A sustained load with bursts on the stack on this machine, by the callback's own outbox and sender."""
