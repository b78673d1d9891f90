"""What clients are told of the tools."""

from openapi_schema_validator import OAS31Validator

from mcp_server.tools import SERVER, TOOLS


def test_there_are_three_tools_and_they_only_read() -> None:
    assert list(TOOLS) == ["my_usage", "my_models", "my_footprint"]
    for tool in SERVER.tools:
        hints = tool["annotations"]
        assert (hints["readOnlyHint"], hints["destructiveHint"], hints["openWorldHint"]) == (
            True,
            False,
            False,
        )


def test_schemas_are_valid_and_name_no_user() -> None:
    for tool in SERVER.tools:
        for name in ("inputSchema", "outputSchema"):
            OAS31Validator.check_schema(tool[name])
        assert tool["inputSchema"]["additionalProperties"] is False
        assert "userId" not in tool["inputSchema"]["properties"]
        assert set(tool["outputSchema"]["required"]) <= tool["outputSchema"]["properties"].keys()
