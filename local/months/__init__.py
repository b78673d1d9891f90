"""Fill the stack on this machine with months of plausible use, so that there is something to look at.

The users, teams and requests are made up, and the same ones for the same seed. They come by the API as the
requests of a proxy would, and the rollup adds them up: every figure is one that the service has computed.
"""
