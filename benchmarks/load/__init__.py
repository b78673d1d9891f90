"""A sustained load on the stack on this machine, with bursts, by the callback's own code."""
