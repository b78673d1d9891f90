"""The configuration of the proxy: a model for each way to be charged."""

from typing import Any

from local.fake_providers.mcp_tool import PATH as TOOLS

OWN_PRICE = {"input_cost_per_token": 0.000001, "output_cost_per_token": 0.000002}
FREE = {"input_cost_per_token": 0, "output_cost_per_token": 0}
TOOL_USD = 0.01
HASTY = {"timeout": 5.0, "stream_timeout": 5.0}
"""LiteLLM gives up a stream after so many seconds without a part."""


def config(provider: str) -> dict[str, Any]:
    openai = f"{provider}/v1"
    return {
        "model_list": [
            _model("gpt", "openai/gpt-4o-mini"),
            _model("claude", "anthropic/claude-haiku-4-5"),
            _model("hasty-gpt", "openai/gpt-4o-mini", **HASTY),
            _model("hasty-claude", "anthropic/claude-haiku-4-5", **HASTY),
            _model("background-gpt", "openai/gpt-4o-mini", background=True),
            _model("gpt-or-claude", "openai/gpt-4o-mini"),
            _model("next-claude", "anthropic/claude-next-9"),
            _model("own", "openai/own-1", **OWN_PRICE),
            _model("free", "openai/own-free", **FREE),
            _model("whisper", "openai/own-whisper"),
            _model("voice", "openai/own-voice"),
            _model("image", "openai/own-image"),
            _model("rank", "infinity/own-rank", api_base=openai),
            _model("moderation", "openai/omni-moderation-latest"),
            _model("instruct", "text-completion-openai/gpt-3.5-turbo-instruct", api_base=openai),
        ],
        "general_settings": {
            "master_key": "os.environ/LITELLM_MASTER_KEY",
            "user_header_mappings": [
                {"header_name": "x-user", "litellm_user_role": "customer"},
                {"header_name": "x-key-owner", "litellm_user_role": "internal_user"},
            ],
            "pass_through_endpoints": [
                {
                    "path": "/paid-rerank",
                    "target": f"{openai}/rerank",
                    "headers": {"Authorization": "Bearer fake-key"},
                }
            ],
        },
        "guardrails": [
            {
                "guardrail_name": "blocking",
                "litellm_params": {
                    "guardrail": "guardrail.Guardrail",
                    "mode": "pre_call",
                    "default_on": True,
                },
            }
        ],
        "mcp_servers": {
            "calc": {
                "url": f"{provider}{TOOLS}",
                "transport": "http",
                "allow_all_keys": True,
                "mcp_info": {"mcp_server_cost_info": {"default_cost_per_query": TOOL_USD}},
            }
        },
        "files_settings": [{"custom_llm_provider": "openai", "api_base": openai, "api_key": "fake-key"}],
        "litellm_settings": {"callbacks": ["litellm_callbacks.proxy_handler_instance"]},
        "router_settings": {"num_retries": 0, "fallbacks": [{"gpt-or-claude": ["claude"]}]},
    }


def _model(name: str, of: str, **parameters: Any) -> dict[str, Any]:
    return {"model_name": name, "litellm_params": {"model": of, "api_key": "fake-key", **parameters}}
