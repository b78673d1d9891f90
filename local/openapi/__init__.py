"""docs/openapi.json: the HTTP API's description, made from the code that answers."""
