"""docs/openapi.json: the description of the HTTP API, generated from the code."""
