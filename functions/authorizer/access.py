"""Who may call which route: the one table. Both authorizers read it. Standard library only, to start fast."""

INGEST = "ingest"  # a token of IngestTokenHashes
READ = "read"  # a token of ReadTokenHashes
LINK = "link"  # a person's signed link: what they used themselves
OIDC = "oidc"  # a token of the operator's identity provider: the same
SERVER = "server"  # a token of McpTokenHashes: a trusted server that names the user of each request

ROUTES = {
    "POST /api/request-event": {INGEST},
    "GET /api/summaries": {READ},
    "GET /api/totals": {READ},
    "GET /api/breakdown": {READ},
    "GET /api/me/summaries": {LINK, OIDC},
    "GET /api/me/breakdown": {LINK, OIDC},
    "POST /mcp": {LINK, OIDC, SERVER},
    "GET /mcp": {LINK, OIDC, SERVER},
    "DELETE /mcp": {LINK, OIDC, SERVER},
}
"""The kinds of token that reach a route. No other route takes a token."""

PUBLIC = {"GET /", "GET /me", "GET /config.json", "GET /assets/{path+}", "GET /sign-in"}
"""Routes for everybody: files without a figure in them, and the way to the identity provider."""
